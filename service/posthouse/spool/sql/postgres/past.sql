-- What the accounts of :lanes used up lately: attempts that began since :starts, when they ended (NULL: nobody knows), by
-- what, how urgent, as whom, and until when they may be alive (their deadline and :grace, also where the clock was set
-- back; NULL: seen to end, or of :worker); bytes of uploads since :uploads, by 10 s; recipients by hours since :hour.
select
  (select jsonb_agg(jsonb_build_array(a.account, a.ended_at, a.transport, m.priority, m.sender,
     case when a.ended_at is null and a.worker <> :worker::bigint
          then least(a.deadline_at, :now::bigint + a.deadline_at - a.started_at) + :grace::bigint end) order by a.started_at)
   from attempts a left join messages m on m.id = a.message
   where a.account = any(:lanes::bigint[]) and a.kind in ('graph', 'smtp') and a.started_at > :starts::bigint
     and coalesce(a.ended_at, :now::bigint) > :now::bigint - 60000),
  (select jsonb_agg(jsonb_build_array(account, at, bytes)) from (
   select a.account, max(coalesce(a.ended_at, :now::bigint)) as at, sum(a.wire_bytes)::bigint as bytes
   from attempts a
   where a.account = any(:lanes::bigint[]) and a.kind = 'graph' and a.started_at > :uploads::bigint
     and a.wire_bytes > 0 and coalesce(a.ended_at, :now::bigint) > :now::bigint - 300000
   group by a.account, coalesce(a.ended_at, :now::bigint) / 10000) x),
  (select jsonb_agg(jsonb_build_array(account, hour, recipients))
   from recipient_hours where account = any(:lanes::bigint[]) and hour >= :hour::bigint);
