-- Hold a queued row.
with u as (
  update messages m set status = 'held', held_cause = :cause, feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  where m.id = :message and m.status = 'queued' returning m.id, m.feed
)
insert into events (feed, message, at, type, data)
select feed, id, :at, 'message.held', jsonb_build_object('cause', :cause::text) from u;
