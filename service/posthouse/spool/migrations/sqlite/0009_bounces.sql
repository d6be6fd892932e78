-- oldest: 2
-- Where reading the reports of a mailbox ended. The cursor is Microsoft's link with its state: no secret alone, shown to nobody.
create table inboxes (
  lane integer not null references lanes,
  transport text not null,                    -- by which it is read
  cursor text,
  next_at integer not null,
  primary key (lane, transport)
) without rowid;

-- Whom a message did not reach, as was reported after it was sent; a report that is read twice says it once.
create table bounces (
  message integer not null,
  report text not null,
  recipient text not null collate nocase,
  lane integer not null references lanes,
  at integer not null,
  code text,
  reply integer,
  text text,
  fix text not null,
  primary key (message, report, recipient)
) without rowid;
create index bounces_code on bounces (code, at);
