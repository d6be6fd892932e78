-- When the next look-up of those of :lanes that this worker holds is due: for a doubtful message or a fresh witness.
select min(at) from (
  select u.look_at as at from lanes o join unsettled u on u.lane = o.id
  where o.owner = :worker and o.id = any(:lanes::bigint[]) and u.look_at is not null
  union all
  select p.ask_at from lanes o join presence p on p.account = o.id
  where o.owner = :worker and o.id = any(:lanes::bigint[]) and p.ask_at is not null
) x;
