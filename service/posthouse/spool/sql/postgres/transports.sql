select name, state, until, opened, reason, since from transports order by name;
