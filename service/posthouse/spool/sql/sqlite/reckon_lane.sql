-- next_at from what the lane holds: the earliest due row (:due_at, of next_in.sql), not before the end of a pause; NULL
-- when it is empty.
update lanes set next_at = max(:due_at, coalesce(paused_until, 0)) where id = :lane;
