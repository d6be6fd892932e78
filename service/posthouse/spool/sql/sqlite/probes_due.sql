select mailbox, sender from blocks where probe_at <= :now;
