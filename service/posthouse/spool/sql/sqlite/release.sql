-- Give a lane back; an old fence changes nothing.
update lanes set owner = null where id = :lane and fence = :fence;
