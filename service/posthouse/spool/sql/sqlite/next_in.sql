-- The earliest due time of a lane's queued rows, or of those due later than :after: the first row of each strand (see
-- strands.sql).
with recursive strands (priority, strand) as (
  select value, (select strand from messages where status = 'queued' and lane = :lane and priority = value
                 order by strand desc limit 1) from json_each('[0,1,2]')
  union all
  select priority, (select m.strand from messages m where m.status = 'queued' and m.lane = :lane
                    and m.priority = strands.priority and m.strand < strands.strand order by m.strand desc limit 1)
  from strands where strand is not null
)
select min(due_at) from (
  select (select m.due_at from messages m where m.status = 'queued' and m.lane = :lane
          and m.priority = strands.priority and m.strand = strands.strand and m.due_at > coalesce(:after, -1)
          order by m.due_at limit 1) as due_at
  from strands where strand is not null
);
