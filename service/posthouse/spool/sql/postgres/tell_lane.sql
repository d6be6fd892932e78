-- A person pauses or resumes a locked lane; told_at only grows, whatever the clocks say. Resume ends blocks and the
-- pauses that we reckoned ourselves, never a Retry-After.
with p as (
  delete from pauses where not :paused and lane = :lane
    and (blocked or reason in ('recipients_per_day', 'tenant_recipients_per_day'))
  returning transport, blocked
)
update lanes l set told_at = greatest(l.told_at + 1, :at::bigint), told_paused = :paused, told_by = :by,
  block_ended_at = case when exists (select 1 from p where blocked) then :at::bigint else l.block_ended_at end,
  paused_until = case when :paused then 253402300799000
    else (select q.until from pauses q where q.lane = l.id and q.transport = ''
          and not exists (select 1 from p where transport = '')) end
where l.id = :lane;
