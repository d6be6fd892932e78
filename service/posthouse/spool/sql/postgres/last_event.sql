-- The last thing that this database knows of.
select greatest((select max(at) from events), (select max(accepted_at) from messages));
