-- Rows that nobody carries are unconfirmed: arrays of message, number, status, held cause, since, look_at, event; :code
-- and :text say how the attempts were lost.
with i as materialized (
  select * from unnest(:messages::bigint[], :numbers::integer[], :statuses::text[], :causes::text[], :sinces::bigint[],
                       :looks::bigint[], :events::text[]) i(message, number, status, cause, since, look_at, event)
), a as (
  update attempts a set outcome = 'unconfirmed', scope = 'message', status = '4.4.7', code = :code, text = :text
  from i where a.message = i.message and a.number = i.number
  returning a.message, a.number, a.account, a.transport
), m as (
  update messages m set status = i.status, held_cause = i.cause, feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from i where m.id = i.message returning m.id, m.feed
), u as (
  insert into unsettled (message, lane, number, since, looks, look_at, may_resend)
  select i.message, a.account, i.number, i.since, 0, i.look_at, true
  from i join a on a.message = i.message where i.status <> 'queued'
  on conflict (message) do nothing
)
insert into events (feed, message, at, type, data)
select m.feed, i.message, :now::bigint, i.event,
       jsonb_build_object('attempt', a.number, 'transport', a.transport, 'outcome', 'unconfirmed', 'code', :code::text)
from i join m on m.id = i.message join a on a.message = i.message;
