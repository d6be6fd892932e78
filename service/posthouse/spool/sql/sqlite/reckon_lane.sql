-- next_at from what the lane holds: the earliest due row, not before the end of a pause; NULL when it is empty.
update lanes set next_at = (
  select max(min(due_at), coalesce(lanes.paused_until, 0)) from (
    select min(due_at) as due_at from messages where status = 'queued' and lane = :lane and priority = 0
    union all select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 1
    union all select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 2
  )
)
where id = :lane;
