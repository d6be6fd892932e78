update blocks set probe_at = :next_probe where mailbox = :mailbox and sender = :sender;
