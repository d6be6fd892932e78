-- The latest time that was written down, where no other worker lives whose clock may only run a little ahead.
select max(at) from (select at from events order by feed desc, id desc limit 100) x
where not exists (select 1 from workers w where w.id <> :worker
                  and w.alive_until >= (extract(epoch from clock_timestamp()) * 1000)::bigint);
