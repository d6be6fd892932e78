-- oldest: 2
-- Where reading the reports of a mailbox ended. The cursor is Microsoft's link with its state: no secret alone, shown to nobody.
create table inboxes (
  lane bigint not null references lanes,
  transport text not null,                    -- by which it is read
  cursor text,
  next_at bigint not null,
  primary key (lane, transport)
);

-- Whom a message did not reach, as was reported after it was sent; a report that is read twice says it once.
create table bounces (
  message bigint not null,
  report text not null,
  recipient text not null,
  lane bigint not null references lanes,
  at bigint not null,
  code text,
  reply integer,
  text text,
  fix text not null,
  primary key (message, report, recipient)
);
create index bounces_code on bounces (code, at);
