-- The last thing that this file knows of.
select max(coalesce((select max(at) from events), 0), coalesce((select max(accepted_at) from messages), 0));
