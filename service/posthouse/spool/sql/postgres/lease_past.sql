-- What a new owner of :lanes goes on from: attempt starts since :since by account, pauses, and what others left on the
-- wire, with the time from which it counts as ended.
select
  (select jsonb_agg(jsonb_build_array(a.account, a.started_at) order by a.started_at)
   from attempts a where a.account = any(:lanes::bigint[]) and a.kind in ('graph', 'smtp') and a.started_at > :since),
  (select jsonb_agg(jsonb_build_array(p.lane, p.transport, p.until, p.reason, p.blocked, p.since, coalesce(p.length, p.until - p.since)))
   from pauses p where p.lane = any(:lanes::bigint[])),
  (select jsonb_agg(jsonb_build_array(a.account, a.deadline_at))
   from messages m join attempts a on a.message = m.id and a.number = m.attempts
   where m.status = 'sending' and m.status <> 'sent' and a.account = any(:lanes::bigint[]) and a.worker <> :worker);
