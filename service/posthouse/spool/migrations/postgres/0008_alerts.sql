-- oldest: 2
-- What is wrong or will be soon, as it was last seen, and whether somebody was told.
create table alerts (
  key text not null,
  subject text not null,
  text text not null,
  level bigint not null,
  transports jsonb not null,
  mailboxes jsonb not null,
  raised_at bigint not null,
  seen_at bigint not null,
  ended_at bigint,
  told_at bigint,
  try_at bigint not null,
  tries integer not null default 0,
  primary key (key, subject)
);
