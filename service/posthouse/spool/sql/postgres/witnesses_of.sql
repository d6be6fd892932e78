-- Messages known as sent through one account, the latest accepted first, whatever clocks said; among the last 5,000 attempts in the time asked for.
-- Under a Message-ID that a client brought only an answer says that it was sent: a copy may be another mail's.
select replace(m.public_id::text, '-', ''), w.account, d.message_id, a.started_at, a.transport
from (select x.message, x.number, x.account, x.started_at, x.transport from attempts x
      where x.account = (select id from lanes where account = lower(:account)) and x.kind = :kind
        and x.code is distinct from 'restored'
        and x.started_at >= :after and x.started_at < :before and (:own or x.outcome = 'sent')
      order by x.started_at desc limit 5000) a
join messages m on m.id = a.message and m.attempts = a.number and m.status = 'sent' and m.erased_at is null
join details d on d.message = m.id and d.own_message_id = :own
join lanes w on w.id = a.account
where not exists (
  -- a copy that may have been left by another kind of transport proves nothing about this one
  select 1 from details o join attempts b on b.message = o.message
  where o.message_id = d.message_id and b.kind <> :kind and (b.outcome is null or b.outcome = 'sent'
    or (b.outcome = 'unconfirmed' and coalesce(b.settled, '') <> 'not_sent')))
order by m.id desc limit :most;
