-- Final messages with drafts: one that became its mail by the only draft that was ever begun for it left none; the others
-- are looked for :after ms after their end, and their lanes must be awake for that.
delete from drafts where look_at is null and begun = 1 and state = 'submitted' and exists (
  select 1 from messages m where m.id = drafts.message and m.status = 'sent' and m.attempts = drafts.number);
update drafts set look_at = m.finished_at + :after from messages m
where m.id = drafts.message and drafts.look_at is null and m.finished_at is not null;
update lanes set next_at = d.look_at
from (select lane, min(look_at) as look_at from drafts where look_at is not null group by lane) d
where lanes.id = d.lane and (next_at is null or next_at > d.look_at);
