-- next_at from what the lane holds: the earliest due row (:due_at, of next_in.sql), not before the end of a pause, or the
-- next look-up or look for drafts; NULL when there is nothing.
update lanes set next_at = (
  select min(at) from (
    select max(:due_at, coalesce(lanes.paused_until, 0)) as at
    union all select min(look_at) from unsettled where lane = :lane and look_at is not null
    union all select min(ask_at) from presence where account = :lane and ask_at is not null
    union all select min(d.look_at) from drafts d join messages m on m.id = d.message
              where d.lane = :lane and d.look_at is not null and m.finished_at is not null
  )
)
where id = :lane;
