-- The worker leaves: its lanes are free, nobody waits for its heartbeat.
with l as (update lanes set owner = null where owner = :worker returning id, next_at)
update workers set alive_until = 0 where id = :worker;
