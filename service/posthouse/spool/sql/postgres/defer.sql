update messages set due_at = :due_at where id = :message and status = 'queued';
