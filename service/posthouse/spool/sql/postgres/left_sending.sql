-- What dead workers left in ``sending``, in the order of rows.LeftTuple. The caller's own rows are those of an earlier
-- life: a new process is a new worker.
select m.id, m.attempts, a.started_at, a.deadline_at, d.on_unconfirmed, m.expires_at
from messages m
join attempts a on a.message = m.id and a.number = m.attempts
join details d on d.message = m.id
where m.status = 'sending' and m.status <> 'sent' and a.worker <> :worker
  and not exists (select 1 from workers w where w.id = a.worker
                  and w.alive_until >= (extract(epoch from clock_timestamp()) * 1000)::bigint)
order by m.id limit 500 for update of m skip locked;
