-- What is true of the spool wherever it lies.
select name, value from facts where name in ('moved_at', 'copied_at');
