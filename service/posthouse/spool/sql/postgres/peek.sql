-- What is due in :lane at :now: some rows of every strand, :most shared out to them, behind the row that :after_… names
-- (arrays of one element a strand). The strands are found by a loose index scan, one seek for each, from the last to the
-- first: the end of a strand's range holds rows that wait, its beginning those that have gone (SPOOL §2).
with recursive strands (priority, strand) as (
  select p, (select strand from messages where status = 'queued' and lane = :lane and priority = p
             order by strand desc limit 1)
  from unnest(array[0, 1, 2]::smallint[]) p
  union all
  select priority, (select m.strand from messages m where m.status = 'queued' and m.lane = :lane
                    and m.priority = strands.priority and m.strand < strands.strand order by m.strand desc limit 1)
  from strands where strand is not null
), s as materialized (
  select s.priority, s.strand, coalesce(a.due_at, -1) as due_at, coalesce(a.id, -1) as id, count(*) over () as n
  from strands s
  left join unnest(:after_priorities::smallint[], :after_strands::text[], :after_dues::bigint[], :after_ids::bigint[])
    a(priority, strand, due_at, id) on a.priority = s.priority and a.strand = s.strand
  where s.strand is not null
)
select m.id, replace(m.public_id::text, '-', ''), m.client, m.lane, l.account, m.mailbox, m.sender, d.envelope_sender,
       (select jsonb_agg(jsonb_build_array(r.address, r.kind) order by r.position) from recipients r where r.message = m.id),
       d.message_id, d.own_message_id, d.route, m.next_transport, m.priority, m.size, m.accepted_at, m.due_at,
       m.expires_at, m.gives_up_at, m.attempts, d.on_unconfirmed, m.accept_duplicate,
       (select min(a.started_at) from attempts a where a.message = m.id and a.code is distinct from 'restored'),
       m.strand,
       (select jsonb_build_array(b.transport, y.account, case r.state when 'submitted' then r.id end, r.pinned::integer)
        from drafts r join attempts b on b.message = r.message and b.number = r.number join lanes y on y.id = b.account
        where r.message = m.id)
from s
cross join lateral (
  select x.id from messages x
  where x.status = 'queued' and x.lane = :lane and x.priority = s.priority and x.strand = s.strand
    and x.due_at <= :now::bigint and (x.due_at, x.id) > (s.due_at, s.id)
  order by x.due_at, x.id limit greatest(1, :most::bigint / s.n)
) q
join messages m on m.id = q.id
join lanes l on l.id = m.lane
join details d on d.message = m.id
order by m.priority, m.due_at, m.id;
