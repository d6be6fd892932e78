-- Alive for :millis more by the database's clock; no row where another took this worker for gone and removed it.
update workers set alive_until = (extract(epoch from clock_timestamp()) * 1000)::bigint + :millis where id = :worker
returning id;
