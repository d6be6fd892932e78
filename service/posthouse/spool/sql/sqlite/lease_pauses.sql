-- The pauses of :lanes, a JSON array of ids.
select p.lane, p.transport, p.until, p.reason, p.blocked, p.since, coalesce(p.length, p.until - p.since), p.asked_until
from json_each(:lanes) e join pauses p on p.lane = e.value;
