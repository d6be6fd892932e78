-- The pauses of :lanes.
select lane, transport, until, reason, blocked, since, coalesce(length, until - since), asked_until
from pauses where lane = any(:lanes::bigint[]);
