-- Look now for what is held for this cause and went out through this account, whose look-ups are answered again.
update unsettled u set look_at = :at
from messages m, attempts a
where m.id = u.message and m.status = 'held' and m.held_cause = :cause
  and a.message = u.message and a.number = u.number and a.account = (select id from lanes where account = lower(:account))
  and (u.look_at is null or u.look_at > :at)
returning u.message;
