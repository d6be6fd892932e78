-- What a new owner goes on from, of :lanes, a JSON array of ids: attempts that began since :starts, when they ended (NULL:
-- nobody knows), by what, how urgent, as whom, and until when they may be alive (their deadline and :grace, also where
-- the clock was set back; NULL: seen to end); bytes of uploads since :uploads, by 10 s; recipients by hours since :hour.
select json_array(
  json((select json_group_array(json_array(a.account, a.ended_at, a.transport, m.priority, m.sender,
     case when a.ended_at is null then min(a.deadline_at, :now + a.deadline_at - a.started_at) + :grace end)
     order by a.started_at)
   from json_each(:lanes) e join attempts a on a.account = e.value left join messages m on m.id = a.message
   where a.kind in ('graph', 'smtp') and a.started_at > :starts and coalesce(a.ended_at, :now) > :now - 60000)),
  json((select json_group_array(json_array(account, at, bytes)) from (
   select a.account, max(coalesce(a.ended_at, :now)) as at, sum(a.wire_bytes) as bytes
   from json_each(:lanes) e join attempts a on a.account = e.value
   where a.kind = 'graph' and a.started_at > :uploads and a.wire_bytes > 0
     and coalesce(a.ended_at, :now) > :now - 300000
   group by a.account, coalesce(a.ended_at, :now) / 10000))),
  json((select json_group_array(json_array(h.account, h.hour, h.recipients))
   from json_each(:lanes) e join recipient_hours h on h.account = e.value where h.hour >= :hour))
);
