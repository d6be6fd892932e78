-- Held rows go on; their due times keep their order of age. :messages JSON array of ids.
update messages set status = 'queued', held_cause = null where id in (select value from json_each(:messages));
insert into events (message, at, type, data)
select value, :at, 'message.released', json_object('cause', :cause) from json_each(:messages);
