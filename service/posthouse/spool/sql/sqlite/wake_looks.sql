-- Lower next_at of the lanes of these unsettled messages to their look-ups; pauses do not stop look-ups (PROMISES §5).
-- :messages JSON array.
update lanes set next_at = d.look_at
from (select u.lane, min(u.look_at) as look_at from json_each(:messages) e join unsettled u on u.message = e.value
      where u.look_at is not null group by u.lane) d
where lanes.id = d.lane and (next_at is null or next_at > d.look_at);
select distinct u.lane from json_each(:messages) e join unsettled u on u.message = e.value where u.look_at is not null;
