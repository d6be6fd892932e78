-- What is due in :lane at :now, by priority, then age: one index range per priority, so that rows scheduled for later
-- are never scanned (SPOOL §2). :without are routes whose rows are left out, because no transport of theirs can be used.
select m.id, replace(m.public_id::text, '-', ''), m.client, m.lane, l.account, m.mailbox, m.sender, d.envelope_sender,
       (select jsonb_agg(jsonb_build_array(r.address, r.kind) order by r.position) from recipients r where r.message = m.id),
       d.message_id, d.own_message_id, d.route, m.next_transport, m.priority, m.size, m.accepted_at, m.due_at,
       m.expires_at, m.gives_up_at, m.attempts, d.on_unconfirmed, m.accept_duplicate,
       (select min(a.started_at) from attempts a where a.message = m.id and a.code is distinct from 'restored')
from (
  (select id, priority, due_at from messages
   where status = 'queued' and lane = :lane and priority = 0 and due_at <= :now::bigint
     and (:without::jsonb[] is null or (select route from details where message = messages.id) <> all(:without::jsonb[]))
   order by due_at, id limit :most::bigint)
  union all
  (select id, priority, due_at from messages
   where status = 'queued' and lane = :lane and priority = 1 and due_at <= :now::bigint
     and (:without::jsonb[] is null or (select route from details where message = messages.id) <> all(:without::jsonb[]))
   order by due_at, id limit :most::bigint)
  union all
  (select id, priority, due_at from messages
   where status = 'queued' and lane = :lane and priority = 2 and due_at <= :now::bigint
     and (:without::jsonb[] is null or (select route from details where message = messages.id) <> all(:without::jsonb[]))
   order by due_at, id limit :most::bigint)
  order by priority, due_at, id limit :most::bigint
) q
join messages m on m.id = q.id
join lanes l on l.id = m.lane
join details d on d.message = m.id
order by q.priority, q.due_at, q.id;
