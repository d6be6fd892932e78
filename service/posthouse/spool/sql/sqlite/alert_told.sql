update alerts set told_at = :at, tries = 0
where key = :key and subject = :subject and raised_at = :raised_at and level = :level and ended_at is null;
