-- next_at of a locked lane from what it holds: the earliest due row of its strands (see peek.sql), not before the end of
-- a pause; or the next look-up or look for drafts, which pauses do not stop. NULL when it is empty.
with recursive strands (priority, strand) as (
  select p, (select strand from messages where status = 'queued' and lane = :lane and priority = p
             order by strand desc limit 1)
  from unnest(array[0, 1, 2]::smallint[]) p
  union all
  select priority, (select m.strand from messages m where m.status = 'queued' and m.lane = :lane
                    and m.priority = strands.priority and m.strand < strands.strand order by m.strand desc limit 1)
  from strands where strand is not null
)
update lanes l set next_at = least(
  (select greatest(d, l.paused_until) from (
     select min((select m.due_at from messages m
                 where m.status = 'queued' and m.lane = :lane and m.priority = strands.priority
                   and m.strand = strands.strand order by m.due_at limit 1)) as d
     from strands where strand is not null) x where d is not null),
  (select min(look_at) from unsettled where lane = :lane and look_at is not null),
  (select min(ask_at) from presence where account = :lane),
  (select min(d.look_at) from drafts d join messages m on m.id = d.message
   where d.lane = :lane and d.look_at is not null and m.finished_at is not null))
where l.id = :lane;
