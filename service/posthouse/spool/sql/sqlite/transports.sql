select name, state, until, opened, reason, since, told_at, told_paused, told_by from transports order by name;
