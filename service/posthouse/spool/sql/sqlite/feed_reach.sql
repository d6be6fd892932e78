-- The last of the next :scanned positions after :after, NULL where there is none; the highest ever given; the highest
-- purged.
select (select max(position) from (select position from events where position > :after order by position limit :scanned)),
       coalesce((select seq from sqlite_sequence where name = 'events'), 0),
       (select purged from feed);
