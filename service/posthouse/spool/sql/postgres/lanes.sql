-- Lanes with unfinished rows or a pause that is not over, or the lane :lane whatever it has: queued rows are counted
-- from messages_turn alone.
with busy as (
  select lane, count(*) filter (where status = 'sending') as sending, count(*) filter (where status = 'held') as held,
         count(*) filter (where status = 'unconfirmed') as doubt
  from messages where status in ('sending', 'held', 'unconfirmed') and status <> 'sent'
    and (:lane::bigint is null or lane = :lane::bigint) group by lane
), waiting as (
  select lane, priority, strand, count(*) as n, count(*) filter (where due_at <= :now::bigint) as due,
         min(due_at) as oldest
  from messages where status = 'queued' and (:lane::bigint is null or lane = :lane::bigint)
  group by lane, priority, strand
), backlog as (
  select lane, jsonb_agg(jsonb_build_array(priority, strand, n, due, oldest)) as rows from waiting group by lane
), paused as (
  select lane, jsonb_agg(jsonb_build_array(transport, until, reason, blocked, since, coalesce(length, until - since),
                                         asked_until)) as rows
  from pauses where blocked or until > :now::bigint group by lane
)
select l.id, l.account, coalesce(b.sending, 0), coalesce(b.held, 0), coalesce(b.doubt, 0), l.next_at,
       coalesce(p.rows, '[]'::jsonb), w.rows, l.told_at, l.told_paused, l.told_by
from lanes l left join backlog w on w.lane = l.id left join busy b on b.lane = l.id left join paused p on p.lane = l.id
where l.id = :lane::bigint
   or (:lane::bigint is null and (w.rows is not null or b.lane is not null or p.lane is not null or l.told_paused))
order by l.account;
