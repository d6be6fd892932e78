-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
-- What other, dead processes left in ``sending`` whose draft was certainly not sent: it was being made, or it was
-- complete and the attempt that would send it again had not written that down. Message and number.
select m.id, m.attempts
from messages m
join attempts a on a.message = m.id and a.number = m.attempts
join drafts d on d.message = m.id
join attempts b on b.message = d.message and b.number = d.number
where m.status = 'sending' and m.status <> 'sent' and a.worker <> :worker
  and (d.number = m.attempts and d.state = 'begun'
       or d.number < m.attempts and d.state = 'submitted' and b.transport = a.transport and b.account = a.account);
