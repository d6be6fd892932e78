update alerts set ended_at = :now::bigint, told_at = null, try_at = :now, tries = 0
where seen_at < :before::bigint and ended_at is null;
