-- Final messages of the lanes :lanes (JSON array) whose drafts are looked for now, in the order of rows.StrayTuple; the
-- draft that became the mail stays.
select d.message, hex(m.public_id), w.account, a.transport, t.message_id,
       case when m.status = 'sent' and d.number = m.attempts and d.state = 'submitted' then d.id end, d.looked
from json_each(:lanes) e
join drafts d on d.lane = e.value
join messages m on m.id = d.message
join attempts a on a.message = d.message and a.number = d.number
join lanes w on w.id = d.lane
join details t on t.message = d.message
where m.finished_at is not null and d.look_at is not null and d.look_at <= :now
order by d.look_at limit :most;
