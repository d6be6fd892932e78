select key_id from masters order by since, key_id;
