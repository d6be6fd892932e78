-- A queued row goes later, without an attempt.
with m as (
  update messages set due_at = :due_at,
    feed = greatest(feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  where id = :message and status = 'queued' returning id, feed
)
insert into events (feed, message, at, type, data)
select feed, id, :at::bigint, 'message.deferred',
       jsonb_build_object('cause', :cause::text, 'next_attempt_at', :due_at::bigint) from m;
