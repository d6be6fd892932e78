-- Lanes with unfinished rows or a pause that is not over, or the lane :lane whatever it has: queued rows are counted
-- from messages_turn alone.
with busy as (
  select lane, sum(status = 'sending') as sending, sum(status = 'held') as held, sum(status = 'unconfirmed') as doubt
  from messages where status in ('sending', 'held', 'unconfirmed') and status <> 'sent'
    and lane between coalesce(:lane, 0) and coalesce(:lane, 9223372036854775807) group by lane
), waiting as (
  select lane, priority, strand, count(*) as n, sum(due_at <= :now) as due, min(due_at) as oldest
  from messages where status = 'queued'
    and lane between coalesce(:lane, 0) and coalesce(:lane, 9223372036854775807) group by lane, priority, strand
), backlog as (
  select lane, json_group_array(json_array(priority, strand, n, due, oldest)) as rows from waiting group by lane
)
select l.id, l.account, coalesce(b.sending, 0), coalesce(b.held, 0), coalesce(b.doubt, 0), l.next_at,
       (select json_group_array(json_array(p.transport, p.until, p.reason, p.blocked, p.since, coalesce(p.length, p.until - p.since),
                                          p.asked_until))
        from pauses p where p.lane = l.id and (p.blocked or p.until > :now)),
       w.rows, l.told_at, l.told_paused, l.told_by
from lanes l left join backlog w on w.lane = l.id left join busy b on b.lane = l.id
where l.id = :lane
   or (:lane is null and (w.rows is not null or b.lane is not null or l.told_paused
                          or exists (select 1 from pauses p where p.lane = l.id and (p.blocked or p.until > :now))))
order by l.account;
