select mailbox, sender from blocks where probe_at <= :now order by mailbox, sender for update skip locked;
