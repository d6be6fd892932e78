select uuid_send(public_id), status from messages where public_id = any(:public_ids::uuid[]) and finished_at is not null;
