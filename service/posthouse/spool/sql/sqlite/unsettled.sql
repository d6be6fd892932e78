-- Unsettled messages of the lanes :lanes (JSON array) whose look-up is due at :now, the longest waiting first. One JSON
-- array of arrays in the order of rows.UnsettledTuple.
select json_group_array(json_array(
  json_array(
  m.id, hex(m.public_id), m.client, m.lane, l.account, m.mailbox, m.sender, d.envelope_sender,
  json((select json_group_array(json_array(r.address, r.kind) order by r.position) from recipients r where r.message = m.id)),
  d.message_id, d.own_message_id, json(d.route), m.next_transport, m.priority, m.size, m.accepted_at, m.due_at,
  m.expires_at, m.gives_up_at, m.attempts, d.on_unconfirmed, m.accept_duplicate,
  (select min(f.started_at) from attempts f where f.message = m.id and f.code is not 'restored'), m.strand,
  json((select json_array(b.transport, y.account, case r.state when 'submitted' then r.id end, r.pinned)
   from drafts r join attempts b on b.message = r.message and b.number = r.number join lanes y on y.id = b.account
   where r.message = m.id))
  ), u.number, a.transport, a.kind, w.account, a.started_at, u.since, u.looks, u.last_absent_at, u.may_resend,
  case when m.status = 'held' then m.held_cause end, u.lane,
  (select r.id from drafts r join attempts b on b.message = r.message and b.number = r.number
   where r.message = m.id and r.state <> 'begun' and b.transport = a.transport and b.account = a.account
     and a.code is not 'restored'),
  exists (select 1 from drafts r where r.message = m.id), u.any_way) order by u.look_at, u.message)
from (select u.* from json_each(:lanes) e join unsettled u on u.lane = e.value
      where u.look_at is not null and u.look_at <= :now order by u.look_at, u.message limit :most) u
join messages m on m.id = u.message
join lanes l on l.id = m.lane
join details d on d.message = m.id
join attempts a on a.message = u.message and a.number = u.number
join lanes w on w.id = a.account;
