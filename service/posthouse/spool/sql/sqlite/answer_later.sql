update idempotency set check_at = :at where id = :id;
