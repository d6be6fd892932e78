-- The marks of :marks that may go: still queued and due, fenced by the lane's lease, not past the client's own expiry
-- (PROMISES §3). Arrays in the order of sending.py's _mark_row:
--  0 message, 1 number, 2 attempt id, 3 lane, 4 fence, 5 transport, 6 kind, 7 account, 8 started_at, 9 deadline_at,
--  10 recipients, 11 bytes on the wire.
select json_group_array(json(e.value))
from json_each(:marks) e
join messages m on m.id = e.value->>0
join lanes l on l.id = m.lane
where m.status = 'queued' and m.attempts = e.value->>1 - 1 and m.lane = e.value->>3 and l.fence = e.value->>4
  and l.owner is not null and m.due_at <= e.value->>8 and (m.expires_at is null or m.expires_at > e.value->>8);
