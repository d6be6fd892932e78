-- What is due in :lane at :now: the first :each rows of every strand of :strands, a JSON array of [priority, strand, due
-- time and key of the last row that was taken]: one index range each, so that neither a long strand nor rows scheduled
-- for later are scanned (SPOOL §2). One JSON array of arrays in the order of rows.py's MessageTuple.
select json_group_array(json_array(
  m.id, hex(m.public_id), m.client, m.lane, l.account, m.mailbox, m.sender, d.envelope_sender,
  json((select json_group_array(json_array(r.address, r.kind) order by r.position) from recipients r where r.message = m.id)),
  d.message_id, d.own_message_id, json(d.route), m.next_transport, m.priority, m.size, m.accepted_at, m.due_at,
  m.expires_at, m.gives_up_at, m.attempts, d.on_unconfirmed, m.accept_duplicate,
  (select min(a.started_at) from attempts a where a.message = m.id and a.code is not 'restored'), m.strand,
  json((select json_array(b.transport, y.account, case r.state when 'submitted' then r.id end, r.pinned)
   from drafts r join attempts b on b.message = r.message and b.number = r.number join lanes y on y.id = b.account
   where r.message = m.id))
  ) order by m.priority, m.due_at, m.id)
from json_each(:strands) s
cross join messages m on m.id in (
  select id from messages where status = 'queued' and lane = :lane and priority = s.value->>0 and strand = s.value->>1
    and due_at <= :now and (due_at, id) > (s.value->>2, s.value->>3) order by due_at, id limit :each)
cross join lanes l on l.id = m.lane
cross join details d on d.message = m.id;
