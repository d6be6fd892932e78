-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
-- What other, dead processes left in ``sending``, in the order of rows.LeftTuple.
select m.id, m.attempts, a.started_at, a.deadline_at, d.on_unconfirmed, m.expires_at
from messages m
join attempts a on a.message = m.id and a.number = m.attempts
join details d on d.message = m.id
where m.status = 'sending' and m.status <> 'sent' and a.worker <> :worker;
