-- Times are milliseconds since 1970 UTC; messages.id is ours and never leaves, public_id is the UUIDv7 behind msg_….
create table workers (
  id integer primary key autoincrement,
  boot text not null,
  host text not null,
  version text not null,
  started_at integer not null,
  alive_until integer
);

-- A lane is one sending account (PROMISES §7). paused_until repeats the whole-lane pause, so that waking needs no join.
create table lanes (
  id integer primary key,
  account text not null unique collate nocase,
  owner text,
  fence integer not null default 0,
  next_at integer,
  paused_until integer
);
create index lanes_ready on lanes (next_at) where owner is null and next_at is not null;

create table pauses (
  lane integer not null references lanes,
  transport text not null,                    -- '' is the whole lane
  until integer not null,
  reason text not null,
  blocked integer not null,
  since integer not null,
  primary key (lane, transport)
) without rowid;

-- The hot table: narrow, so that claiming reads few pages (SPOOL §6). status uses CONTRACT §1's words;
-- scheduled and deferred are views of queued rows and are never stored.
create table messages (
  id integer primary key autoincrement,
  public_id blob not null unique,
  client text not null,
  lane integer not null references lanes,
  status text not null,
  priority integer not null,
  due_at integer not null,
  expires_at integer,                         -- only the client's own (PROMISES §6)
  gives_up_at integer not null,
  attempts integer not null,
  next_transport text,
  held_cause text,
  mailbox text not null collate nocase,
  sender text not null collate nocase,
  size integer not null,
  accepted_at integer not null,
  finished_at integer,
  accept_duplicate integer not null default 0,
  content_purged_at integer
);
create index messages_ready on messages (lane, priority, due_at, id) where status = 'queued';     -- peek
create index messages_status on messages (status, id) where status <> 'sent';                     -- list, recover, counts
create index messages_client on messages (client, id);                                            -- list
create index messages_expiry on messages (expires_at) where expires_at is not null and status in ('queued', 'held', 'unconfirmed');
create index messages_finished on messages (finished_at) where finished_at is not null;           -- purge, witnesses
create index messages_kept on messages (status, finished_at) where finished_at is not null and content_purged_at is null;

create table details (
  message integer primary key,
  subject text not null,
  reference text,
  message_id text not null,
  own_message_id integer not null,
  route text not null,                        -- JSON array
  tags text not null,                         -- JSON object
  metadata text not null,                     -- JSON object
  door text not null,
  key_id text,
  envelope_sender text,
  on_unconfirmed text not null
);
create index details_message_id on details (message_id);
create index details_reference on details (reference) where reference is not null;

create table recipients (
  message integer not null,
  position integer not null,
  address text not null collate nocase,
  kind text not null,
  refused text,
  primary key (message, position)
) without rowid;
create index recipients_address on recipients (address, message);

create table tags (
  message integer not null,
  name text not null,
  value text not null,
  primary key (name, value, message)
) without rowid;
create index tags_message on tags (message);

-- body: up to 256 KB the header and the body in one value; beyond it the header alone, the body in chunks.
create table contents (
  id integer primary key,
  header_size integer not null,
  body_size integer not null,
  location text not null,                     -- inline | chunks | object
  key_id text,
  body blob not null
);
create table chunks (
  content integer not null,
  n integer not null,
  body blob not null,
  primary key (content, n)
);

create table idempotency (
  id integer primary key,
  client text not null,
  key text not null,
  hash blob not null,
  answer blob not null,
  first integer not null,                     -- the messages first … last; the row goes 24 h after the last is final
  last integer not null,
  check_at integer not null,
  unique (client, key)
);
create index idempotency_check on idempotency (check_at);

create table attempts (
  message integer not null,
  number integer not null,
  attempt_id text not null,
  account integer not null references lanes,
  transport text not null,
  kind text not null,
  worker integer not null,
  started_at integer not null,
  deadline_at integer not null,
  ended_at integer,
  outcome text,
  scope text,
  status text,
  code text,
  reply integer,
  text text,
  request_id text,
  retry_after real,
  receipt text,
  fix text,
  settled text,                               -- sent | not_sent: what became of an unconfirmed one
  primary key (message, number)
) without rowid;
create index attempts_account on attempts (account, kind, started_at);                            -- pace, witnesses

create table unsettled (
  message integer primary key,
  number integer not null,
  since integer not null,
  looks integer not null,
  last_absent_at integer,
  look_at integer,
  may_resend integer not null
);
create index unsettled_look on unsettled (look_at) where look_at is not null;

create table blocks (
  mailbox text not null collate nocase,
  sender text not null collate nocase,
  since integer not null,
  probe_at integer not null,
  reason text not null,
  primary key (mailbox, sender)
) without rowid;

create table transports (
  name text primary key,
  state text not null,
  until integer not null,
  opened integer not null,
  reason text not null,
  since integer not null
) without rowid;

create table events (
  position integer primary key autoincrement, -- one writer: the order of commits
  message integer not null,
  at integer not null,
  type text not null,
  data text not null                          -- JSON object
);
create index events_message on events (message);

create table clients (
  name text primary key,
  created_at integer not null,
  paused_at integer
) without rowid;

create table keys (
  id text primary key,
  client text not null references clients,
  key_hash blob not null,
  senders text not null,                      -- JSON array
  recipient_domains text not null,            -- JSON array
  scopes text not null,                       -- JSON array
  created_at integer not null,
  expires_at integer,
  revoked_at integer,
  last_used_at integer
) without rowid;

create table audit (
  id integer primary key autoincrement,
  at integer not null,
  by text not null,
  action text not null,
  target text not null,
  data text not null
);

create table day_budgets (
  account integer not null references lanes,
  day integer not null,                       -- days since 1970 UTC
  recipients integer not null,
  primary key (account, day)
) without rowid;
