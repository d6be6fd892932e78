select m.public_id, m.status, m.client, d.door, m.mailbox, l.account, m.sender, d.subject, d.reference, d.tags,
       d.metadata, d.message_id, d.route,
       a.transport, m.priority, m.size,
       m.accepted_at,
       -- a message that was tried and whose lane is paused goes on when the pause ends
       case when m.attempts > 0 and m.status = 'queued' and not l.told_paused then max(m.due_at, coalesce(l.paused_until, 0)) else m.due_at end,
       m.expires_at, m.finished_at, m.attempts, m.held_cause,
       exists (select 1 from unsettled u where u.message = m.id),
       (select json_group_array(json_array(r.address, r.kind, r.refused) order by r.position)
        from recipients r where r.message = m.id),
       m.erased_at, a.outcome, a.code, a.reply, a.text, a.request_id, a.fix,
       (select json_group_array(json_array(b.recipient, b.at, b.code, b.reply, b.text, b.fix) order by b.at, b.recipient)
        from bounces b where b.message = m.id)
from messages m
join details d on d.message = m.id
join lanes l on l.id = m.lane
left join attempts a on a.message = m.id and a.number = m.attempts
