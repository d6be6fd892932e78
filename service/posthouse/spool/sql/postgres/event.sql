with u as (
  update messages m set feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base)) where m.id = :message returning m.feed
)
insert into events (feed, message, at, type, data) select feed, :message, :at, :type, :data::jsonb from u;
