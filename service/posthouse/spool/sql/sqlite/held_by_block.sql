-- The oldest rows that a sender's block holds.
select id from messages
where status = 'held' and held_cause = 'sender_blocked' and mailbox = :mailbox and sender = :sender
order by id limit :most;
