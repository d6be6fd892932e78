-- What a person asked for: of final messages only what accounting needs is left. Words of servers may name an address:
-- of attempts and events only what is counted stays. Answers which had their content in chunks.
with m as (
  update messages m set erased_at = :at, content_purged_at = coalesce(m.content_purged_at, :at),
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  where m.id = any(:messages::bigint[]) and m.finished_at is not null and m.erased_at is null returning m.id, m.feed
), c as (
  delete from contents x using m where x.id = m.id returning x.id, x.location
), d as (
  update details x set subject = '', reference = null, message_id = 'erased', tags = '{}', metadata = '{}'
  from m where x.message = m.id
), t as (
  delete from tags x using m where x.message = m.id
), r as (
  update recipients x set address = 'erased', refused = case when x.refused is not null then 'erased' end
  from m where x.message = m.id
), a as (
  update attempts x set text = null, receipt = null from m where x.message = m.id
), b as (
  delete from bounces x using m where x.message = m.id
), e as (
  update events x set data = (
    select coalesce(jsonb_object_agg(k.key, k.value), '{}') from jsonb_each(x.data) k
    where k.key in ('attempt', 'attempt_id', 'transport', 'outcome', 'scope', 'status', 'code', 'reply', 'door', 'cause',
                    'verdict', 'by'))
  from m where x.message = m.id
), told as (
  insert into events (feed, message, at, type, data)
  select feed, id, :at::bigint, 'message.erased', jsonb_build_object('by', :by::text) from m
)
select id from c where location = 'chunks';
