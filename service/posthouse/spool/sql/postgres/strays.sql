-- Final messages whose drafts are looked for now, in those of :lanes that this worker holds, in the order of
-- rows.StrayTuple; the draft that became the mail stays.
select d.message, replace(m.public_id::text, '-', ''), w.account, a.transport, t.message_id,
       case when m.status = 'sent' and d.number = m.attempts and d.state = 'submitted' then d.id end,
       d.looked
from lanes w
join drafts d on d.lane = w.id
join messages m on m.id = d.message
join attempts a on a.message = d.message and a.number = d.number
join details t on t.message = d.message
where w.owner = :worker and w.id = any(:lanes::bigint[]) and m.finished_at is not null and d.look_at <= :now
order by d.look_at limit :most;
