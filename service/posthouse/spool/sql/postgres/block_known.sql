select 1 from blocks where mailbox = :mailbox and sender = :sender;
