-- Give a locked lane back.
update lanes set owner = null where id = :lane;
