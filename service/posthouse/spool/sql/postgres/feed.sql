-- Events after (:feed, :id) up to (:reach_feed, :reach_id) in the order of commits; :types or NULL, :client or NULL. In
-- the order of rows.FeedTuple.
select e.feed || '.' || e.id, e.at, e.type, e.data, uuid_send(m.public_id), m.client, d.reference, d.metadata
from events e
join messages m on m.id = e.message
join details d on d.message = e.message
where (e.feed, e.id) > (:feed::bigint, :id::bigint) and (e.feed, e.id) <= (:reach_feed::bigint, :reach_id::bigint)
  and (:client::text is null or m.client = :client) and (:types::text[] is null or e.type = any(:types::text[]))
order by e.feed, e.id limit :most;
