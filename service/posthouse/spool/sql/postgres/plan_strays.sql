-- Final messages with drafts: one that became its mail by the only draft that was ever begun for it left none; the others
-- are looked for :after ms after their end. Answers the lanes that must be awake for that, and from when.
with d as materialized (
  select d.message, d.lane, m.finished_at, d.begun = 1 and d.state = 'submitted' and m.status = 'sent' and d.number = m.attempts as clean
  from drafts d join messages m on m.id = d.message
  where d.look_at is null and m.finished_at is not null
  order by d.message limit 500 for update of d skip locked
), gone as (
  delete from drafts x using d where x.message = d.message and d.clean
), p as (
  update drafts x set look_at = d.finished_at + :after from d where x.message = d.message and not d.clean
  returning x.lane, x.look_at
)
select lane, min(look_at) from p group by lane order by lane;
