-- next_at of a locked lane from what it holds: the earliest due row, not before the end of a pause, nor of a rest where
-- it is not of high priority; or the next look-up, which pauses do not stop. NULL when it is empty.
update lanes l set next_at = least(
  (select greatest(d, l.paused_until) from (
     select min(due_at) as d from messages where status = 'queued' and lane = :lane and priority = 0) x where d is not null),
  (select greatest(d, l.paused_until, l.rest_until) from (
     select least(
       (select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 1),
       (select min(due_at) from messages where status = 'queued' and lane = :lane and priority = 2)) as d) x where d is not null),
  (select min(look_at) from unsettled where lane = :lane and look_at is not null),
  (select min(ask_at) from presence where account = :lane))
where l.id = :lane;
