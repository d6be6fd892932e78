-- A queued row goes later, without an attempt.
insert into events (message, at, type, data)
select id, :at, 'message.deferred', json_object('cause', :cause, 'next_attempt_at', :due_at)
from messages where id = :message and status = 'queued';
update messages set due_at = :due_at where id = :message and status = 'queued';
