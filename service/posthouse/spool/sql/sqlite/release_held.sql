-- Held rows go on; their due times keep their order of age. :messages JSON array of [id, cause].
-- The time held does not count towards the default expiry (PROMISES §6): its window begins again, of at most the
-- default of 5 days.
insert into events (message, at, type, data)
select m.id, :at, 'message.released', json_object('cause', e.value->>1)
from json_each(:messages) e join messages m on m.id = e.value->>0 where m.status = 'held';
update messages set status = 'queued', held_cause = null,
  gives_up_at = max(gives_up_at, :at + min(gives_up_at - accepted_at, 432000000))
where id in (select value->>0 from json_each(:messages)) and status = 'held';
