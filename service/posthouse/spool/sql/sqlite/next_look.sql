-- The next look-up of these lanes: for a doubtful message or a fresh witness. :lanes JSON array.
select min(at) from (
  select min(u.look_at) as at from json_each(:lanes) l join unsettled u on u.lane = l.value and u.look_at is not null
  union all
  select min(p.ask_at) from json_each(:lanes) l join presence p on p.account = l.value and p.ask_at is not null
);
