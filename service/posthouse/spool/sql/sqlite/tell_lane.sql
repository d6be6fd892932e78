-- A person pauses (:paused 1) or resumes (0) a lane; told_at only grows, whatever the clocks say. Resume ends blocks and
-- the pauses that we reckoned ourselves, never a Retry-After, also not one that came while they stood.
update lanes set told_at = max(told_at + 1, :at), told_paused = :paused, told_by = :by where id = :lane;
update lanes set block_ended_at = :at
where not :paused and id = :lane and exists (select 1 from pauses where lane = :lane and blocked);
update pauses set until = asked_until, reason = 'graph.throttled', blocked = 0, asked_until = 0
where not :paused and lane = :lane and asked_until > :at
  and (blocked or reason in ('recipients_per_day', 'tenant_recipients_per_day'));
delete from pauses where not :paused and lane = :lane
  and (blocked or reason in ('recipients_per_day', 'tenant_recipients_per_day'));
update lanes set paused_until = case when :paused then 253402300799000
  else (select until from pauses p where p.lane = lanes.id and p.transport = '') end
where id = :lane;
