select name, state, until, opened, reason, since, coalesce(block_ended_at, 0) from transports order by name;
