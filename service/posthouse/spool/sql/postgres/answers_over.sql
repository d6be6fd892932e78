-- Idempotency keys go 24 h (:kept) after their last message is final; those of unfinished ones are looked at again
-- :later. How many were looked at.
with due as materialized (
  select i.id, case when exists (
      select 1 from messages m where m.id between i.first and i.last and m.finished_at is null) then null
    else coalesce((select max(m.finished_at) from messages m where m.id between i.first and i.last), 0) end as ended
  from idempotency i where i.check_at <= :now order by i.check_at limit :most for update skip locked
), gone as (
  delete from idempotency i using due d where i.id = d.id and d.ended + :kept <= :now
), later as (
  update idempotency i set check_at = coalesce(d.ended + :kept, :later)
  from due d where i.id = d.id and (d.ended is null or d.ended + :kept > :now)
)
select count(*) from due;
