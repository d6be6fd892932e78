-- :rows JSON array of [key, subject, text, level, transports, mailboxes]. A level that was told of once is not told again.
insert into alerts (key, subject, text, level, transports, mailboxes, raised_at, seen_at, try_at)
select value->>0, value->>1, value->>2, value->>3, value->4, value->5, :now, :now, :now
from json_each(:rows) where true
on conflict (key, subject) do update set
  text = excluded.text, transports = excluded.transports, mailboxes = excluded.mailboxes, seen_at = excluded.seen_at,
  raised_at = case when ended_at is null then raised_at else excluded.raised_at end,
  told_at = case when ended_at is null and excluded.level <= level then told_at end,
  try_at = case when ended_at is null and excluded.level <= level then try_at else excluded.try_at end,
  tries = case when ended_at is null and excluded.level <= level then tries else 0 end,
  level = case when ended_at is null then max(level, excluded.level) else excluded.level end,
  ended_at = null;
