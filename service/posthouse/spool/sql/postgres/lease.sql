-- Take lanes that have something due: those of dead owners first, then the longest waiting, and again those of this
-- worker that it does not know of (the answer to an earlier lease was lost). At most :most, and no more than a fair
-- share of the live workers, of the dead owners' lanes too: all who live look at the moment of a death, and who takes
-- all of them has all until it dies. The heartbeats are judged by the database's own clock.
with clock as (
  select (extract(epoch from clock_timestamp()) * 1000)::bigint as at
), alive as (
  select greatest(1, (select count(*) from workers, clock where sends and alive_until >= clock.at)) as n
), dead as (
  select distinct l.owner from (select distinct owner from lanes where owner is not null and owner <> :worker) l
  where not exists (select 1 from workers w, clock where w.id = l.owner and w.alive_until >= clock.at)
), share as (
  select least(:most::bigint, 1 + (select count(*) from (
           select 1 from lanes where owner is null and next_at <= :now::bigint limit 1000) d) / alive.n) as free,
         least(:most::bigint, 1 + (select count(*) from (
           select 1 from lanes where owner in (select owner from dead) limit 1000) d) / alive.n) as orphans
  from alive
), orphans as (
  select l.id from lanes l where l.owner in (select owner from dead)
  order by l.next_at limit (select orphans from share) for update skip locked
), lost as (
  select l.id from lanes l where l.owner = :worker and l.id <> all(:running::bigint[]) for update skip locked
), free as (
  select l.id from lanes l where l.owner is null and l.next_at <= :now::bigint
  order by l.next_at limit (select free from share) for update skip locked
)
update lanes l set owner = :worker, fence = l.fence + 1
from (select id from orphans union select id from lost union select id from free) t
where l.id = t.id
returning l.id, l.account, l.fence, l.told_at, l.told_paused, l.told_by, coalesce(l.block_ended_at, 0);
