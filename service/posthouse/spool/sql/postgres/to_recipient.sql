-- Messages to an address, the oldest first, and whether they are final; those that were erased are found no more.
select m.id, uuid_send(m.public_id), (m.finished_at is not null)::int
from messages m
where m.id in (select r.message from recipients r where lower(r.address) = lower(:recipient) and r.message > :after)
  and m.erased_at is null
order by m.id limit :most;
