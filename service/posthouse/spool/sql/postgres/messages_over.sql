select id from messages where finished_at is not null and finished_at <= :before and content_purged_at is not null
order by finished_at limit :most;
