-- :rows JSON array of [key, subject, text, level, transports, mailboxes]. A level that was told of once is not told again.
insert into alerts as a (key, subject, text, level, transports, mailboxes, raised_at, seen_at, try_at)
select value->>0, value->>1, value->>2, (value->>3)::bigint, value->4, value->5, :now::bigint, :now, :now
from jsonb_array_elements(:rows::jsonb)
on conflict (key, subject) do update set
  text = excluded.text, transports = excluded.transports, mailboxes = excluded.mailboxes, seen_at = excluded.seen_at,
  raised_at = case when a.ended_at is null then a.raised_at else excluded.raised_at end,
  told_at = case when a.ended_at is null and excluded.level <= a.level then a.told_at end,
  try_at = case when a.ended_at is null and excluded.level <= a.level then a.try_at else excluded.try_at end,
  tries = case when a.ended_at is null and excluded.level <= a.level then a.tries else 0 end,
  level = case when a.ended_at is null then greatest(a.level, excluded.level) else excluded.level end,
  ended_at = null;
