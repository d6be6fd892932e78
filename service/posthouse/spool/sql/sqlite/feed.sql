-- Events after :after up to :reach in the order of commits; :types JSON array or NULL, :client or NULL. In the order of
-- rows.FeedTuple.
select e.position, e.at, e.type, e.data, m.public_id, m.client, d.reference, d.metadata
from events e
join messages m on m.id = e.message
join details d on d.message = e.message
where e.position > :after and e.position <= :reach
  and (:client is null or m.client = :client) and (:types is null or e.type in (select value from json_each(:types)))
order by e.position limit :most;
