-- next_at from what the lane holds: the earliest due row, not before the end of a pause, or the next look-up; NULL when
-- there is neither.
update lanes set next_at = (
  select min(at) from (
    select max(min(due_at), coalesce(lanes.paused_until, 0)) as at from (
      select min(due_at) as due_at from messages where status = 'queued' and lane = :lane and priority = 0
      union all select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 1
      union all select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 2
    )
    union all select min(look_at) from unsettled where lane = :lane and look_at is not null
    union all select min(ask_at) from presence where account = :lane and ask_at is not null
  )
)
where id = :lane;
