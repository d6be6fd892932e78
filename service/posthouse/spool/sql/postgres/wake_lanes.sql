-- Lower next_at of :lanes to :dues, in a statement of its own after the commit of what woke them: two acceptors that
-- hold a share lock and both want to write would wait for each other (SPOOL §6.2). Told to all workers once.
with d as materialized (
  select lane, min(due) as due from unnest(:lanes::bigint[], :dues::bigint[]) d(lane, due) group by lane
), l as materialized (
  select id from lanes where id in (select lane from d) order by id for update
), w as (
  update lanes l set next_at = d.due from d
  where l.id = d.lane and exists (select 1 from l x where x.id = l.id) and (l.next_at is null or l.next_at > d.due)
  returning l.id
)
select pg_notify(:channel, string_agg(id::text, ',')) from w having count(*) > 0;
