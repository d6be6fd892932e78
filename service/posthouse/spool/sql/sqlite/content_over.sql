-- Final messages whose content's time is over; :sent and :other are the latest ends; that of :clients goes when it was sent. The second column: has chunks.
select m.id, coalesce(c.location = 'chunks', 0)
from messages m left join contents c on c.id = m.id
where m.content_purged_at is null and m.finished_at is not null and m.status = 'sent' and m.finished_at <= :sent
union all
select m.id, coalesce(c.location = 'chunks', 0)
from messages m left join contents c on c.id = m.id
where m.content_purged_at is null and m.finished_at is not null and m.status in ('failed', 'expired', 'canceled')
  and m.finished_at <= :other
union all
select m.id, coalesce(c.location = 'chunks', 0)
from messages m left join contents c on c.id = m.id
where m.content_purged_at is null and m.finished_at > :sent and m.status = 'sent' and m.client in (select value from json_each(:clients))
limit :most;
