-- A master on which nothing depends any more; a process that still seals under it would bring it back.
delete from masters where key_id = :key_id and not exists (select 1 from contents c where c.key_id = :key_id);
