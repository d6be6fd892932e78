-- Messages to an address, the oldest first, and whether they are final; those that were erased are found no more.
select r.message, max(m.public_id), max(m.finished_at is not null)
from recipients r join messages m on m.id = r.message
where r.address = :recipient and r.message > :after and m.erased_at is null
group by r.message order by r.message limit :most;
