-- Mail of the SMTP door that failed since :since (behind :after), wholly or for some of its recipients, whose sender was not told: the
-- report's own idempotency key remembers that. Answers the reverse-path and when it ended.
select m.id, encode(uuid_send(m.public_id), 'hex'), d.envelope_sender, m.finished_at
from messages m join details d on d.message = m.id
where m.finished_at is not null and (m.finished_at, m.id) > (:since::bigint, :after::bigint) and d.door = 'smtp' and d.envelope_sender is not null
  and (m.status in ('failed', 'expired')
    or m.status = 'sent' and exists (select 1 from recipients r where r.message = m.id and r.refused is not null))
  and not exists (
    select 1 from idempotency i where i.client = :client and i.key = encode(uuid_send(m.public_id), 'hex')
  )
order by m.finished_at, m.id limit :most::bigint;
