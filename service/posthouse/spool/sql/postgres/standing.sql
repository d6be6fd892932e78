-- What decides about an action on a message, which is locked until its end.
with m as materialized (
  select * from messages where public_id = :public_id for update
)
select m.id, m.status, m.client, m.lane, m.expires_at, m.content_purged_at, u.number, u.may_resend, m.held_cause,
       m.due_at, u.held_cause
from m left join unsettled u on u.message = m.id;
