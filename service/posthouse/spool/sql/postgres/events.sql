select e.feed || '.' || e.id, e.at, e.type, e.data from events e
join messages m on m.id = e.message where m.public_id = :public_id order by e.feed, e.id;
