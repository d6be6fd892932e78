delete from idempotency where id = :id;
