-- The latest time that was written down: of the last events.
select max(at) from (select at from events order by position desc limit 100);
