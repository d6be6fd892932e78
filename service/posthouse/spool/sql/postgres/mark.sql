-- Write ``sending`` with its attempt for those that may go: still queued and due, fenced by this worker's lease, not past the
-- client's own expiry (PROMISES §3). Arrays of one element a mark. Answers the attempt ids that are written, also those
-- of a statement whose answer was lost.
with i as materialized (
  select * from unnest(:messages::bigint[], :numbers::integer[], :attempt_ids::text[], :lanes::bigint[],
                       :fences::bigint[], :transports::text[], :kinds::text[], :accounts::bigint[], :starts::bigint[],
                       :deadlines::bigint[], :recipients::integer[], :wire_bytes::bigint[])
    as i(message, number, attempt_id, lane, fence, transport, kind, account, started_at, deadline_at, recipients,
         wire_bytes)
), g as materialized (
  -- a thief waits for this lock, and then sees these rows as sending (SPOOL §6.4)
  select id, fence from lanes
  where id in (select lane from i) and owner = :worker order by id for share
), u as (
  update messages m set status = 'sending', attempts = i.number,
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from i join g on g.id = i.lane and g.fence = i.fence
  where m.id = i.message and m.lane = i.lane and m.status = 'queued' and m.attempts = i.number - 1
    and m.due_at <= i.started_at and (m.expires_at is null or m.expires_at > i.started_at)
  returning m.id, m.feed
), a as (
  insert into attempts (message, number, attempt_id, account, transport, kind, worker, started_at, deadline_at,
                        recipients, wire_bytes)
  select i.message, i.number, i.attempt_id, i.account, i.transport, i.kind, :worker, i.started_at, i.deadline_at,
         i.recipients, i.wire_bytes
  from i join u on u.id = i.message
), h as (
  -- in the same order as who gives back, so that the two never wait for each other
  insert into recipient_hours (account, hour, recipients)
  select i.account, i.started_at / 3600000, sum(i.recipients)
  from i join u on u.id = i.message group by 1, 2 order by 1, 2
  on conflict (account, hour) do update set recipients = recipient_hours.recipients + excluded.recipients
), e as (
  insert into events (feed, message, at, type, data)
  select u.feed, i.message, i.started_at, 'message.sending',
         jsonb_build_object('transport', i.transport, 'attempt', i.number, 'attempt_id', i.attempt_id)
  from i join u on u.id = i.message
)
select i.attempt_id from i join u on u.id = i.message
union
select i.attempt_id from i
join attempts a on a.message = i.message and a.number = i.number and a.attempt_id = i.attempt_id;
