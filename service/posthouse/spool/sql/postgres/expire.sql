-- End queued and held rows whose client's own expiry is over, the longest first; unsettled ones only lose the right to
-- be sent again (PROMISES §5). Answers how many ended.
with over as materialized (
  select m.id, u.message is not null as doubtful
  from messages m left join unsettled u on u.message = m.id
  where m.expires_at <= :now and m.status in ('queued', 'held', 'unconfirmed') and (u.message is null or u.may_resend)
  order by m.expires_at limit :most for update of m skip locked
), ended as (
  update messages m set status = 'expired', finished_at = :now, held_cause = null, feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from over o where m.id = o.id and not o.doubtful and m.status in ('queued', 'held') returning m.id, m.feed
), right_gone as (
  update unsettled u set may_resend = false from over o where u.message = o.id and o.doubtful returning u.message
), told as (
  update messages m set feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base)) from right_gone g where m.id = g.message returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select feed, id, :now::bigint, 'message.expired', '{"cause": "expires_at"}'::jsonb from ended
  union all
  select feed, id, :now::bigint, 'message.resend_withdrawn', '{"cause": "expires_at"}'::jsonb from told
)
select count(*) from ended;
