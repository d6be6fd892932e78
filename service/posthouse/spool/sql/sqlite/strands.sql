-- The strands of :lane that hold queued rows: a loose index scan, one seek for each. It goes from the last to the first,
-- because the end of a strand's range holds rows that wait and its beginning those that have gone (SPOOL §2).
with recursive strands (priority, strand) as (
  select value, (select strand from messages where status = 'queued' and lane = :lane and priority = value
                 order by strand desc limit 1) from json_each('[0,1,2]')
  union all
  select priority, (select m.strand from messages m where m.status = 'queued' and m.lane = :lane
                    and m.priority = strands.priority and m.strand < strands.strand order by m.strand desc limit 1)
  from strands where strand is not null
)
select json_group_array(json_array(priority, strand)) from strands where strand is not null;
