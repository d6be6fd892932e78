-- What decides about an action on a message.
select m.id, m.status, m.client, m.lane, m.expires_at, m.content_purged_at, u.number, u.may_resend, m.held_cause,
       m.due_at, u.held_cause
from messages m left join unsettled u on u.message = m.id
where m.public_id = :public_id;
