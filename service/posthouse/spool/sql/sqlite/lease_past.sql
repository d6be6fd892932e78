-- What a new owner goes on from: attempt starts of the last 60 s by account and the pauses. :lanes JSON array of ids.
select json_array(
  json((select json_group_array(json_array(a.account, a.started_at) order by a.started_at)
   from json_each(:lanes) e join attempts a on a.account = e.value
   where a.kind in ('graph', 'smtp') and a.started_at > :since)),
  json((select json_group_array(json_array(p.lane, p.transport, p.until, p.reason, p.blocked, p.since, coalesce(p.length, p.until - p.since)))
   from json_each(:lanes) e join pauses p on p.lane = e.value))
);
