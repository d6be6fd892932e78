-- Hold a queued row.
insert into events (message, at, type, data)
select id, :at, 'message.held', json_object('cause', :cause) from messages where id = :message and status = 'queued';
update messages set status = 'held', held_cause = :cause where id = :message and status = 'queued';
