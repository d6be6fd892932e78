delete from alerts where key = :key and subject = :subject and raised_at = :raised_at and ended_at is not null;
