select id from messages
where status = 'queued' and id > :after and mailbox = :mailbox and sender = :sender order by id limit :most;
