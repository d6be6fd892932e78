-- Held rows whose cause is gone are queued again: their sender's block was deleted, one of :transports stands in their
-- route, one of :carrying takes header recipients outside of the envelope, or their client was resumed. Nothing in
-- doubt. Answers their ids.
with chosen as materialized (
  select m.id from messages m join details d on d.message = m.id
  where m.status = 'held' and not exists (select 1 from unsettled u where u.message = m.id)
    and case m.held_cause
        when 'sender_blocked' then not exists (select 1 from blocks b where b.mailbox = m.mailbox and b.sender = m.sender)
        when 'no_transport' then d.route ?| :transports::text[]
        when 'extra_header_recipients' then d.route ?| :carrying::text[]
        when 'client_paused' then not exists (select 1 from clients c where c.name = m.client and c.paused_at is not null)
        else false end
  order by m.id limit :most for update of m skip locked
), was as (
  select m.id, m.held_cause from messages m join chosen c on c.id = m.id
), u as (
  update messages m set status = 'queued', held_cause = null,
    gives_up_at = greatest(m.gives_up_at, :at::bigint + least(m.gives_up_at - m.accepted_at, 432000000)),
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from chosen c where m.id = c.id and m.status = 'held' returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select u.feed, u.id, :at::bigint, 'message.released', jsonb_build_object('cause', w.held_cause || '_gone')
  from u join was w on w.id = u.id
)
select id from u;
