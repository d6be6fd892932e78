-- The earliest due time of a lane's queued rows: the first row of each priority's range.
select least(
  (select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 0),
  (select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 1),
  (select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 2)
);
