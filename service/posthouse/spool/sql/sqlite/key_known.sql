select 1 from keys where id = :id;
