select min(next_at) from lanes where owner is null and next_at is not null;
