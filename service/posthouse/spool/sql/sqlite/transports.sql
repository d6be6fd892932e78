select name, state, until, opened, reason, since, coalesce(block_ended_at, 0), told_at, told_paused, told_by
from transports order by name;
