-- The earliest due time of a lane's queued rows, or of those due later than :after: the first row of each strand (see
-- peek.sql).
with recursive strands (priority, strand) as (
  select p, (select strand from messages where status = 'queued' and lane = :lane and priority = p
             order by strand desc limit 1)
  from unnest(array[0, 1, 2]::smallint[]) p
  union all
  select priority, (select m.strand from messages m where m.status = 'queued' and m.lane = :lane
                    and m.priority = strands.priority and m.strand < strands.strand order by m.strand desc limit 1)
  from strands where strand is not null
)
select min((select m.due_at from messages m
            where m.status = 'queued' and m.lane = :lane and m.priority = strands.priority
              and m.strand = strands.strand and m.due_at > coalesce(:after::bigint, -1)
            order by m.due_at limit 1))
from strands where strand is not null;
