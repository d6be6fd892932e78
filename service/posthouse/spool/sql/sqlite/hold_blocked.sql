-- Hold those of :messages (JSON array of ids) that are still queued, while the block stands.
insert into events (message, at, type, data)
select m.id, :at, 'message.held', json_object('cause', 'sender_blocked')
from messages m join blocks b on b.mailbox = m.mailbox and b.sender = m.sender
where m.id in (select value from json_each(:messages)) and m.status = 'queued';
update messages set status = 'held', held_cause = 'sender_blocked'
where id in (select value from json_each(:messages)) and status = 'queued'
  and exists (select 1 from blocks b where b.mailbox = messages.mailbox and b.sender = messages.sender);
