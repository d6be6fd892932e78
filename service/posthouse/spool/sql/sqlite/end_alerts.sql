update alerts set ended_at = :now, told_at = null, try_at = :now, tries = 0
where seen_at < :before and ended_at is null;
