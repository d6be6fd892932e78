-- Hold a part of what is queued for a blocked sender, while the block stands; how many.
with chosen as materialized (
  select m.id from messages m join blocks b on b.mailbox = m.mailbox and b.sender = m.sender
  where m.status = 'queued' and m.mailbox = :mailbox and m.sender = :sender
  order by m.id limit :most for update of m skip locked
), u as (
  update messages m set status = 'held', held_cause = 'sender_blocked', feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from chosen c where m.id = c.id and m.status = 'queued' returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select feed, id, :at::bigint, 'message.held', '{"cause": "sender_blocked"}'::jsonb from u
)
select count(*) from u;
