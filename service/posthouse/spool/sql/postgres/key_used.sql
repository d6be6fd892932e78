update keys set last_used_at = greatest(last_used_at, :at) where id = :id;
