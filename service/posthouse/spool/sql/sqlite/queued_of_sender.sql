-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
select id from messages
where status = 'queued' and status <> 'sent' and id > :after and mailbox = :mailbox and sender = :sender order by id limit :most;
