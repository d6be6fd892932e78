-- Idempotency keys whose time may be over, and when their last message became final: NULL while one is not.
select i.id, case when exists (
    select 1 from messages m where m.id between i.first and i.last and m.finished_at is null) then null
  else coalesce((select max(m.finished_at) from messages m where m.id between i.first and i.last), 0) end
from idempotency i where i.check_at <= :now order by i.check_at limit :most;
