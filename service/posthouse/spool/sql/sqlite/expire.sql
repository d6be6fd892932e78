-- :messages JSON array of ids, none of them unsettled.
update messages set status = 'expired', finished_at = :now, held_cause = null
where id in (select value from json_each(:messages));
insert into events (message, at, type, data)
select value, :now, 'message.expired', json_object('cause', 'expires_at') from json_each(:messages);
