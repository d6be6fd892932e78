-- Take lanes that have something due and no owner, the longest waiting first (SPOOL §2).
update lanes set owner = :owner, fence = fence + 1
where id in (select id from lanes where owner is null and next_at <= :now order by next_at limit :most)
returning id, account, fence, told_at, told_paused, told_by, coalesce(block_ended_at, 0);
