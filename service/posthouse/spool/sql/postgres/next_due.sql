-- When a lane that nobody alive holds has something to do; 0 where a dead owner's lane waits to be taken; at the latest
-- when the heartbeat of another owner of lanes ends by the database's clock: nobody tells of a death.
with clock as (
  select (extract(epoch from clock_timestamp()) * 1000)::bigint as at
), owners as (
  select l.owner, w.alive_until from (select distinct owner from lanes where owner is not null) l
  left join workers w on w.id = l.owner where l.owner <> :worker::bigint
)
select min(at) from (
  select min(next_at) as at from lanes where owner is null and next_at is not null
  union all
  select case when o.alive_until >= clock.at then :now::bigint + o.alive_until - clock.at + 1 else 0 end from owners o, clock
) x;
