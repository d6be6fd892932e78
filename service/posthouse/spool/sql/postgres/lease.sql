-- Take lanes that have something due: those of dead owners first, then the longest waiting, and again those of this
-- worker that it does not know of (the answer to an earlier lease was lost). At most :most, and no more than a fair
-- share of the live workers. The heartbeats are judged by the database's own clock.
with clock as (
  select (extract(epoch from clock_timestamp()) * 1000)::bigint as at
), share as (
  select least(:most::bigint, 1 + (select count(*) from (
           select 1 from lanes where owner is null and next_at <= :now::bigint limit 1000) d)
         / greatest(1, (select count(*) from workers, clock where sends and alive_until >= clock.at))) as most
), orphans as (
  select l.id from lanes l
  where l.owner is not null and l.owner <> :worker
    and not exists (select 1 from workers w, clock where w.id = l.owner and w.alive_until >= clock.at)
  order by l.next_at limit :most::bigint for update skip locked
), lost as (
  select l.id from lanes l where l.owner = :worker and l.id <> all(:running::bigint[]) for update skip locked
), free as (
  select l.id from lanes l where l.owner is null and l.next_at <= :now::bigint
  order by l.next_at limit (select most from share) for update skip locked
)
update lanes l set owner = :worker, fence = l.fence + 1
from (select id from orphans union select id from lost union select id from free) t
where l.id = t.id
returning l.id, l.account, l.fence, l.told_at, l.told_paused, l.told_by, coalesce(l.block_ended_at, 0);
