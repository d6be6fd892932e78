-- What was written has its own ids and places in the feed: what comes now comes behind them.
with f as (
  update feed_base set raised = raised + coalesce((select max(feed) from events), 0), purged = greatest(purged, :purged::bigint)
)
select setval('message_keys', greatest(1, coalesce((select max(id) from messages), 0))),
       setval(pg_get_serial_sequence('lanes', 'id'), greatest(1, coalesce((select max(id) from lanes), 0)));
