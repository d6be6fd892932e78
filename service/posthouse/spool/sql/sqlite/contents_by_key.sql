select key_id, count(*) from contents group by key_id order by key_id;
