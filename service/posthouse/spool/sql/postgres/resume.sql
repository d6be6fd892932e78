with p as (delete from pauses where lane = :lane and transport = :transport)
update lanes set paused_until = null where id = :lane and :transport::text = '';
