-- Held rows go on; their due times keep their order of age. :messages JSON array of ids.
-- The time held does not count towards the default expiry (PROMISES §6): its window begins again, of at most the
-- default of 5 days.
update messages set status = 'queued', held_cause = null,
  gives_up_at = max(gives_up_at, :at + min(gives_up_at - accepted_at, 432000000))
where id in (select value from json_each(:messages));
insert into events (message, at, type, data)
select value, :at, 'message.released', json_object('cause', :cause) from json_each(:messages);
