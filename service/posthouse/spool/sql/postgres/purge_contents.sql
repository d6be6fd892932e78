-- Contents of messages that are still final; one that was queued again meanwhile keeps its own. Answers those with
-- chunks.
with m as (
  update messages set content_purged_at = :now where id = any(:messages::bigint[]) and finished_at is not null
  returning id
), c as (
  delete from contents c using m where c.id = m.id returning c.id, c.location
)
select id from c where location = 'chunks';
