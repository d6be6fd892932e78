-- Look now for what is held for this cause and went out through this account, whose look-ups are answered again.
update unsettled set look_at = :at
where message in (
  select u.message from unsettled u
  join messages m on m.id = u.message and m.status = 'held' and m.held_cause = :cause
  join attempts a on a.message = u.message and a.number = u.number
  where a.account = (select id from lanes where account = :account))
  and (look_at is null or look_at > :at)
returning message;
