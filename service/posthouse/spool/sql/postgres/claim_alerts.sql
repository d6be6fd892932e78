-- Who claims one has a minute to tell it, then two, at last an hour.
update alerts set tries = least(tries + 1, 6), try_at = :now::bigint + least(60000::bigint << tries, 3600000)
where told_at is null and try_at <= :now
returning key, subject, text, level, transports::text, mailboxes::text, raised_at, ended_at, told_at;
