-- When the lanes of these messages have something to do: queued rows when they are due, not below a pause; doubtful ones
-- when they are looked for.
select l.id, min(greatest(m.due_at, l.paused_until))
from messages m join lanes l on l.id = m.lane where m.id = any(:messages::bigint[]) and m.status = 'queued' group by l.id
union all
select u.lane, min(u.look_at) from unsettled u
where u.message = any(:messages::bigint[]) and u.look_at is not null group by u.lane;
