-- Kept for a day (PROMISES §5: lately).
with over as (delete from appearances where at <= :at::bigint - 86400000 and message <> :message)
insert into appearances (message, at, took) values (:message, :at, :took)
on conflict (message) do update set at = excluded.at, took = excluded.took;
