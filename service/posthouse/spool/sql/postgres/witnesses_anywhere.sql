-- The same for all accounts, among the last 5,000 messages that became final.
-- Under a Message-ID that a client brought only an answer says that it was sent: a copy may be another mail's.
select replace(m.public_id::text, '-', ''), w.account, d.message_id, a.started_at, a.transport
from (select id, attempts, public_id from messages
      where finished_at is not null and finished_at >= :after and status = 'sent' and erased_at is null
      order by finished_at desc limit 5000) m
join attempts a on a.message = m.id and a.number = m.attempts and a.kind = :kind and a.code is distinct from 'restored'
  and a.started_at >= :after and a.started_at < :before
join details d on d.message = m.id and d.own_message_id = :own and (:own or a.outcome = 'sent')
join lanes w on w.id = a.account
where not exists (
  -- a copy that may have been left by another kind of transport proves nothing about this one
  select 1 from details o join attempts b on b.message = o.message
  where o.message_id = d.message_id and b.kind <> :kind and (b.outcome is null or b.outcome = 'sent'
    or (b.outcome = 'unconfirmed' and coalesce(b.settled, '') <> 'not_sent')))
order by m.id desc limit :most;
