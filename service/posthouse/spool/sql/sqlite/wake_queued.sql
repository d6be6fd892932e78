-- Lower next_at of the lanes of these queued messages to their due times, not below a pause. :messages JSON array.
update lanes set next_at = max(d.due_at, coalesce(paused_until, 0))
from (select m.lane, min(m.due_at) as due_at from json_each(:messages) e join messages m on m.id = e.value
      where m.status = 'queued' group by m.lane) d
where lanes.id = d.lane and (next_at is null or next_at > max(d.due_at, coalesce(paused_until, 0)));
select distinct m.lane from json_each(:messages) e join messages m on m.id = e.value;
