-- A person pauses or resumes a locked lane; told_at only grows, whatever the clocks say. Resume ends blocks and the
-- pauses that we reckoned ourselves, never a Retry-After, also not one that came while they stood.
with o as (
  select transport, blocked, asked_until from pauses
  where not :paused and lane = :lane and (blocked or reason in ('recipients_per_day', 'tenant_recipients_per_day'))
), p as (
  delete from pauses q using o where q.lane = :lane and q.transport = o.transport and o.asked_until <= :at::bigint
), r as (
  update pauses q set until = o.asked_until, reason = 'graph.throttled', blocked = false, asked_until = 0
  from o where q.lane = :lane and q.transport = o.transport and o.asked_until > :at::bigint
)
update lanes l set told_at = greatest(l.told_at + 1, :at::bigint), told_paused = :paused, told_by = :by,
  block_ended_at = case when exists (select 1 from o where blocked) then :at::bigint else l.block_ended_at end,
  paused_until = case
    when :paused then 253402300799000
    when exists (select 1 from o where transport = '') then
      (select o.asked_until from o where transport = '' and o.asked_until > :at::bigint)
    else (select q.until from pauses q where q.lane = l.id and q.transport = '') end
where l.id = :lane;
