-- Give a locked lane back.
update lanes set owner = null, rest_until = :rest_until::bigint where id = :lane;
