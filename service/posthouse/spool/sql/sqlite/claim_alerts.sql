-- Who claims one has a minute to tell it, then two, at last an hour.
update alerts set tries = min(tries + 1, 6), try_at = :now + min(60000 << tries, 3600000)
where told_at is null and try_at <= :now
returning key, subject, text, level, transports, mailboxes, raised_at, ended_at, told_at;
