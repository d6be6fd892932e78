-- Answers whether the block is news; one that stood before keeps its ``since``.
insert into blocks (mailbox, sender, since, probe_at, reason) values (:mailbox, :sender, :since, :probe_at, :reason)
on conflict (mailbox, sender) do update set probe_at = excluded.probe_at, reason = excluded.reason
returning (xmax = 0)::integer;
