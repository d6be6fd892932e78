-- What this worker has in ``sending`` past its deadline (:before is the latest such) without a live attempt: :live are
-- the messages whose attempts it carries. In the order of rows.LeftTuple.
select m.id, m.attempts, a.started_at, a.deadline_at, d.on_unconfirmed, m.expires_at
from messages m
join attempts a on a.message = m.id and a.number = m.attempts
join details d on d.message = m.id
where m.status = 'sending' and m.status <> 'sent' and a.worker = :worker and a.deadline_at <= :before
  and m.id <> all(:live::bigint[])
order by m.id limit 500 for update of m skip locked;
