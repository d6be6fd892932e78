update keys set last_used_at = max(coalesce(last_used_at, 0), :at) where id = :id;
