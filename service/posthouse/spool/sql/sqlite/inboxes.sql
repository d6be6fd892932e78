-- Mailboxes whose reports are read now. :readers JSON array of [transport that sent, transport that reads]. Each with
-- the time from which on its reports count: its first mail since :since, of which an index tells.
with sent as (
  select l.id as lane, l.account, r.value ->> 1 as reader, min((
    select a.started_at from attempts a
    where a.account = l.id and a.kind = k.value and a.started_at > :since and a.outcome = 'sent' and a.transport = r.value ->> 0
    order by a.started_at limit 1)) as began
  from lanes l, json_each(:readers) r, json_each('["graph", "smtp"]') k
  group by l.id, r.value ->> 1
)
select s.lane, s.account, s.reader, s.began, i.cursor
from sent s left join inboxes i on i.lane = s.lane and i.transport = s.reader
where s.began is not null and coalesce(i.next_at, 0) <= :now
order by coalesce(i.next_at, 0), s.lane limit :most;
