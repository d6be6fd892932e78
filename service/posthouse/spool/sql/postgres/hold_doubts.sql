-- Doubts that no look-up can end: :messages (array) wait for a person.
with m as (
  update messages m set status = 'held', held_cause = :cause,
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  where m.id = any(:messages::bigint[]) returning m.id, m.feed
), u as (
  update unsettled set look_at = null where message = any(:messages::bigint[])
)
insert into events (feed, message, at, type, data)
select feed, id, :now::bigint, 'message.held', jsonb_build_object('cause', :cause::text) from m;
