delete from masters where key_id = :key_id;
