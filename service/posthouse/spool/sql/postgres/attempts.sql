select a.number, a.attempt_id, a.transport, l.account, a.started_at, a.ended_at, a.outcome, a.scope, a.status, a.code,
       a.reply, a.text, a.request_id, a.retry_after, a.receipt, a.fix
from messages m join attempts a on a.message = m.id join lanes l on l.id = a.account
where m.public_id = :public_id order by a.number;
