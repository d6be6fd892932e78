-- The earliest due time of a lane's queued rows: the first row of each priority's range.
select min(due_at) from (
  select min(due_at) as due_at from messages where status = 'queued' and lane = :lane and priority = 0
  union all select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 1
  union all select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 2
);
