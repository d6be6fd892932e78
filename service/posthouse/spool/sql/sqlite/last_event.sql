-- The last thing that this file knows of.
select at from events order by position desc limit 1;
