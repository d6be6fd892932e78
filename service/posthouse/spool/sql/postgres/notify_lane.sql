-- All workers hear that this lane has news.
select pg_notify(:channel, :lane::bigint::text);
