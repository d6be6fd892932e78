delete from blocks where mailbox = :mailbox and sender = :sender;
