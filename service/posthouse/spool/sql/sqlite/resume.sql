-- End a pause; time behind the end of a block does not count towards the default expiry (PROMISES §6).
update lanes set block_ended_at = :at
where id = :lane and exists (select 1 from pauses where lane = :lane and transport = :transport and blocked);
delete from pauses where lane = :lane and transport = :transport;
update lanes set paused_until = null where id = :lane and :transport = '' and not told_paused;
