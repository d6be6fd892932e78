-- Whether the spool is in use already.
select 1 where exists (select 1 from messages) or exists (select 1 from lanes) or exists (select 1 from clients);
