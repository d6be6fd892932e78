-- :messages are final and without content; all that hangs on them goes too.
with m as (
  delete from messages where id = any(:messages::bigint[]) and finished_at is not null returning id
), d as (delete from details x using m where x.message = m.id),
r as (delete from recipients x using m where x.message = m.id),
t as (delete from tags x using m where x.message = m.id),
a as (delete from attempts x using m where x.message = m.id),
e as (delete from events x using m where x.message = m.id)
select count(*) from m;
