-- What a new owner of :lanes finds: pauses, and until when the requests that others left on the wire may still be alive,
-- :grace after their deadlines.
select
  (select jsonb_agg(jsonb_build_array(p.lane, p.transport, p.until, p.reason, p.blocked, p.since, coalesce(p.length, p.until - p.since)))
   from pauses p where p.lane = any(:lanes::bigint[])),
  (select jsonb_agg(jsonb_build_array(a.account, a.deadline_at + :grace::bigint))
   from messages m join attempts a on a.message = m.id and a.number = m.attempts
   where m.status = 'sending' and m.status <> 'sent' and a.account = any(:lanes::bigint[]) and a.worker <> :worker);
