-- What the database takes on its disk.
select pg_database_size(current_database());
