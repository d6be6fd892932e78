-- Lanes with unfinished rows or a pause: queued rows are counted from the ready index alone.
with held as (
  select lane, count(*) filter (where status = 'sending') as sending, count(*) filter (where status = 'held') as held,
         count(*) filter (where status = 'unconfirmed') as doubt
  from messages where status in ('sending', 'held', 'unconfirmed') and status <> 'sent' group by lane
), waiting as (
  select lane, count(*) as n, min(due_at) as oldest from messages where status = 'queued' group by lane
)
select l.id, l.account, coalesce(w.n, 0), coalesce(h.sending, 0), coalesce(h.held, 0), coalesce(h.doubt, 0), w.oldest,
       l.next_at,
       coalesce((select jsonb_agg(jsonb_build_array(p.transport, p.until, p.reason, p.blocked, p.since, coalesce(p.length, p.until - p.since)))
                 from pauses p where p.lane = l.id), '[]'::jsonb)
from lanes l left join waiting w on w.lane = l.id left join held h on h.lane = l.id
where w.n > 0 or h.lane is not null or exists (select 1 from pauses p where p.lane = l.id)
order by l.account;
