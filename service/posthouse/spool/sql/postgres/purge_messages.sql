-- :messages are final and without content; all that hangs on them goes too. What is lost with them is kept: how far the
-- feed has a gap, and that their accounts have sent something.
with m as (
  delete from messages where id = any(:messages::bigint[]) and finished_at is not null returning id
), p as (
  update lanes set proven_at = :now where proven_at is null and id in (
    select a.account from attempts a join m on m.id = a.message where a.outcome = 'sent')
), f as (
  update feed_base set purged = greatest(purged, coalesce((select max(e.feed) from events e join m on m.id = e.message), 0))
), d as (delete from details x using m where x.message = m.id),
r as (delete from recipients x using m where x.message = m.id),
t as (delete from tags x using m where x.message = m.id),
s as (delete from drafts x using m where x.message = m.id),
b as (delete from bounces x using m where x.message = m.id),
a as (delete from attempts x using m where x.message = m.id),
e as (delete from events x using m where x.message = m.id)
select count(*) from m;
