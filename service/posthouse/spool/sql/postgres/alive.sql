-- Where workers live, by the database's own clock.
select host, started_at from workers
where sends and alive_until >= (extract(epoch from clock_timestamp()) * 1000)::bigint order by started_at;
