-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
-- The oldest rows that a sender's block holds.
select id from messages
where status = 'held' and status <> 'sent' and held_cause = 'sender_blocked' and mailbox = :mailbox and sender = :sender
order by id limit :most;
