-- What of the feed may be read now: below the oldest transaction under way, so that nothing appears behind a reader's
-- back. The place up to which the next :scanned events after (:feed, :id) reach (NULL where there is none) and how many
-- those are; the first place that is not to be read yet; the highest that was purged; one that no event can have yet.
with s as (
  select raised + pg_snapshot_xmin(pg_current_snapshot())::text::bigint as bound,
         raised + pg_snapshot_xmax(pg_current_snapshot())::text::bigint as beyond, purged
  from feed_base
), r as materialized (
  select feed, id from events where (feed, id) > (:feed::bigint, :id::bigint) and feed < (select bound from s)
  order by feed, id limit :scanned
)
select (select feed from r order by feed desc, id desc limit 1), (select id from r order by feed desc, id desc limit 1),
       (select count(*) from r), s.bound, s.purged, greatest(s.beyond, coalesce((select max(feed) + 1 from events), 0))
from s;
