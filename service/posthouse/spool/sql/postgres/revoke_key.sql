-- Revoking twice keeps the first time; no row where there is no such key.
update keys set revoked_at = coalesce(revoked_at, :at) where id = :id returning id;
