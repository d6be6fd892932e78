-- The oldest rows that a sender's block holds go on; their due times keep their order of age. The time held does not
-- count towards the default expiry (PROMISES §6): its window begins again, of at most the default of 5 days.
with chosen as materialized (
  select id from messages
  where status = 'held' and held_cause = 'sender_blocked' and mailbox = :mailbox and sender = :sender
  order by id limit :most for update skip locked
), u as (
  update messages m set status = 'queued', held_cause = null,
    gives_up_at = greatest(m.gives_up_at, :at::bigint + least(m.gives_up_at - m.accepted_at, 432000000)), feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from chosen c where m.id = c.id and m.status = 'held' returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select feed, id, :at::bigint, 'message.released', jsonb_build_object('cause', :cause::text) from u
)
select id from u order by id;
