-- Held rows whose drafts could not be written for want of a right, tried last before :before, go again. Answers them.
with chosen as materialized (
  select m.id from messages m
  where m.status = 'held' and m.status <> 'sent' and m.held_cause = 'draft_permission'
    and (select max(coalesce(a.ended_at, a.started_at)) from attempts a where a.message = m.id) <= :before
    and not exists (select 1 from unsettled u where u.message = m.id)
  order by m.id limit :most for update of m skip locked
), u as (
  update messages m set status = 'queued', held_cause = null,
    gives_up_at = greatest(m.gives_up_at, :at::bigint + least(m.gives_up_at - m.accepted_at, 432000000)),
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from chosen c where m.id = c.id and m.status = 'held' returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select u.feed, u.id, :at::bigint, 'message.released', jsonb_build_object('cause', 'draft_permission_probe') from u
)
select id from u;
