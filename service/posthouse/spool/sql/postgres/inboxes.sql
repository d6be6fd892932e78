-- Mailboxes whose reports are read now, in lanes that this worker holds or nobody does; from now on they are this worker's
-- until :until. :names are the transports that sent, :by those that read what came of it. Each with the time from which on
-- its reports count: its first mail since :since, of which an index tells.
with sent as (
  select l.id as lane, l.account, r.reader, min(f.started_at) as began
  from lanes l
  cross join unnest(:names::text[], :by::text[]) as r (name, reader)
  cross join unnest(array['graph', 'smtp']) as k (kind)
  cross join lateral (
    select a.started_at from attempts a
    where a.account = l.id and a.kind = k.kind and a.started_at > :since and a.outcome = 'sent' and a.transport = r.name
    order by a.started_at limit 1) f
  where l.owner is null or l.owner = :worker
  group by l.id, l.account, r.reader
), due as (
  select s.lane, s.account, s.reader, s.began
  from sent s left join inboxes i on i.lane = s.lane and i.transport = s.reader
  where coalesce(i.next_at, 0) <= :now
  order by coalesce(i.next_at, 0), s.lane limit :most
), taken as (
  insert into inboxes as i (lane, transport, next_at) select lane, reader, :until from due order by lane, reader
  on conflict (lane, transport) do update set next_at = excluded.next_at where i.next_at <= :now
  returning i.lane, i.transport, i.cursor
)
select d.lane, d.account, d.reader, d.began, t.cursor
from due d join taken t on t.lane = d.lane and t.transport = d.reader;
