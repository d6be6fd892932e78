-- All messages, with the place of their latest event.
select m.*, coalesce((select max(e.position) from events e where e.message = m.id), 0) as feed from messages m;
