-- When a lane that nobody alive holds has something to do; 0 where a dead owner's lane waits to be taken.
select case when exists (
    select 1 from lanes l where l.owner is not null
      and not exists (select 1 from workers w where w.id = l.owner
                      and w.alive_until >= (extract(epoch from clock_timestamp()) * 1000)::bigint)) then 0
  else (select min(next_at) from lanes where owner is null and next_at is not null) end;
