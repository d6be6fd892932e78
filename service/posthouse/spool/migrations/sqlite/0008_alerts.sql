-- oldest: 2
-- What is wrong or will be soon, as it was last seen, and whether somebody was told.
create table alerts (
  key text not null,
  subject text not null,
  text text not null,
  level integer not null,
  transports text not null,                                                    -- JSON array
  mailboxes text not null,                                                     -- JSON array
  raised_at integer not null,
  seen_at integer not null,
  ended_at integer,
  told_at integer,
  try_at integer not null,
  tries integer not null default 0,
  primary key (key, subject)
) without rowid;
