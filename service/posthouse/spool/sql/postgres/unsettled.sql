-- Unsettled messages whose look-up is due at :now in those of :lanes that this worker holds, the longest waiting first.
select m.id, replace(m.public_id::text, '-', ''), m.client, m.lane, l.account, m.mailbox, m.sender, d.envelope_sender,
       (select jsonb_agg(jsonb_build_array(r.address, r.kind) order by r.position) from recipients r where r.message = m.id),
       d.message_id, d.own_message_id, d.route, m.next_transport, m.priority, m.size, m.accepted_at, m.due_at,
       m.expires_at, m.gives_up_at, m.attempts, d.on_unconfirmed, m.accept_duplicate,
       (select min(f.started_at) from attempts f where f.message = m.id and f.code is distinct from 'restored'), m.strand,
       (select jsonb_build_array(b.transport, y.account, case r.state when 'submitted' then r.id end, r.pinned::integer)
        from drafts r join attempts b on b.message = r.message and b.number = r.number join lanes y on y.id = b.account
        where r.message = m.id),
       u.number, a.transport, a.kind, w.account, a.started_at, u.since, u.looks, u.last_absent_at, u.may_resend,
       case when m.status = 'held' then m.held_cause end, u.lane,
       (select r.id from drafts r join attempts b on b.message = r.message and b.number = r.number
        where r.message = m.id and r.state <> 'begun' and b.transport = a.transport and b.account = a.account
          and a.code is distinct from 'restored'),
       exists (select 1 from drafts r where r.message = m.id), u.any_way
from (select u.* from lanes o join unsettled u on u.lane = o.id
      where o.owner = :worker and o.id = any(:lanes::bigint[]) and u.look_at <= :now order by u.look_at, u.message limit :most) u
join messages m on m.id = u.message
join lanes l on l.id = m.lane
join details d on d.message = m.id
join attempts a on a.message = u.message and a.number = u.number
join lanes w on w.id = a.account
order by u.look_at, u.message;
