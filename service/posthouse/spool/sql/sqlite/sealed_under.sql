-- Whether any content still depends on a master.
select 1 from contents where key_id = :key_id limit 1;
