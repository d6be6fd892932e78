-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
-- What is ``sending`` past its deadline (:before is the latest such deadline) without a live attempt: :live is a JSON
-- array of the messages whose attempts this process carries. In the order of rows.LeftTuple.
select m.id, m.attempts, a.started_at, a.deadline_at, d.on_unconfirmed, m.expires_at
from messages m
join attempts a on a.message = m.id and a.number = m.attempts
join details d on d.message = m.id
where m.status = 'sending' and m.status <> 'sent' and a.deadline_at <= :before
  and m.id not in (select value from json_each(:live));
