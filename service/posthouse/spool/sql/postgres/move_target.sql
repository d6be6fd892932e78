-- The lane of :account: until when it is paused (as a whole or for :transport; 0: not), how many rows wait there, counted
-- up to :most.
select l.id,
       greatest(coalesce(l.paused_until, 0), coalesce((select p.until from pauses p where p.lane = l.id and p.transport = :transport), 0)),
       (select count(*) from (select 1 from messages m where m.status = 'queued' and m.lane = l.id limit :most::bigint) x)
from lanes l where l.account = :account;
