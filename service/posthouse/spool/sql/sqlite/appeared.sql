-- Kept for a day (PROMISES §5: lately).
insert into appearances (message, at, took) values (:message, :at, :took)
on conflict (message) do update set at = excluded.at, took = excluded.took;
delete from appearances where at <= :at - 86400000;
