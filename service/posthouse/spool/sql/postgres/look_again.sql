-- The next look-up, or none.
update unsettled set look_at = :look_at, looks = :looks, last_absent_at = :absent_at where message = :message;
