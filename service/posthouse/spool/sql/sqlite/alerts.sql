select key, subject, text, level, transports, mailboxes, raised_at, ended_at, told_at from alerts
where ended_at is null order by raised_at, key, subject;
