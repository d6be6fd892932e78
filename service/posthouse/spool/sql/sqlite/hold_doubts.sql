-- Doubts that no look-up can end: :messages (JSON array) wait for a person.
update messages set status = 'held', held_cause = :cause where id in (select value from json_each(:messages));
update unsettled set look_at = null where message in (select value from json_each(:messages));
insert into events (message, at, type, data)
select value, :now, 'message.held', json_object('cause', :cause) from json_each(:messages);
