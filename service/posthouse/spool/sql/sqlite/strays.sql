-- Messages that were final :after ms before :now and may have left drafts, in the order of rows.StrayTuple; the draft
-- that became the mail stays.
select d.message, hex(m.public_id), w.account, a.transport, t.message_id,
       case when m.status = 'sent' and d.number = m.attempts and d.state = 'submitted' then d.id end, d.begun,
       d.look_at is not null
from drafts d
join messages m on m.id = d.message
join attempts a on a.message = d.message and a.number = d.number
join lanes w on w.id = a.account
join details t on t.message = d.message
where m.finished_at is not null and coalesce(d.look_at, m.finished_at + :after) <= :now
limit :most;
