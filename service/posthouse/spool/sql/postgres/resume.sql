-- End a pause; time behind the end of a block does not count towards the default expiry (PROMISES §6).
with p as (delete from pauses where lane = :lane and transport = :transport::text returning blocked)
update lanes set paused_until = case when :transport::text = '' and not told_paused then null else paused_until end,
  block_ended_at = case when exists (select 1 from p where blocked) then :at::bigint else block_ended_at end
where id = :lane;
