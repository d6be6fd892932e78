-- Times are milliseconds since 1970 UTC; messages.id is ours and never leaves, public_id is the UUIDv7 behind msg_….
-- The tables are SQLite's; what differs serves many processes: heartbeats, key blocks, a feed in commit order.

-- One heartbeat row per process, not per lane (SPOOL §6.3). alive_until is the database's own time.
create table workers (
  id bigint generated always as identity primary key,
  boot text not null,
  host text not null,
  version text not null,
  sends boolean not null,
  started_at bigint not null,
  alive_until bigint not null
);

-- A lane is one sending account (PROMISES §7). paused_until repeats the whole-lane pause, so that waking needs no join.
create table lanes (
  id bigint generated always as identity primary key,
  account text not null unique,
  owner bigint,
  fence bigint not null default 0,
  next_at bigint,
  paused_until bigint
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index lanes_ready on lanes (next_at) where next_at is not null;
create index lanes_owned on lanes (owner) where owner is not null;

create table pauses (
  lane bigint not null references lanes,
  transport text not null,                    -- '' is the whole lane
  until bigint not null,
  reason text not null,
  blocked boolean not null,
  since bigint not null,
  primary key (lane, transport)
);

-- Keys are taken in blocks, so that a door knows them before it asks (contents and chunks are written first).
create sequence message_keys increment by 256;

-- The hot table: narrow, so that claiming reads few pages (SPOOL §6). feed is the place of its latest event.
create table messages (
  id bigint primary key,
  public_id uuid not null unique,
  client text not null,
  lane bigint not null,
  status text not null,
  priority smallint not null,
  due_at bigint not null,
  expires_at bigint,                          -- only the client's own (PROMISES §6)
  gives_up_at bigint not null,
  attempts integer not null,
  next_transport text,
  held_cause text,
  mailbox text not null,
  sender text not null,
  size bigint not null,
  accepted_at bigint not null,
  finished_at bigint,
  accept_duplicate boolean not null default false,
  content_purged_at bigint,
  feed bigint not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index messages_ready on messages (lane, priority, due_at, id) where status = 'queued';     -- peek
create index messages_status on messages (status, public_id) where status <> 'sent';              -- list, recover, counts
create index messages_client on messages (client, public_id);                                     -- list
create index messages_expiry on messages (expires_at)
  where expires_at is not null and status in ('queued', 'held', 'unconfirmed');
create index messages_finished on messages (finished_at) where finished_at is not null;           -- purge, witnesses
create index messages_kept on messages (status, finished_at)
  where finished_at is not null and content_purged_at is null;
create index messages_blocked on messages (mailbox, sender, id) where status in ('queued', 'held');

create table details (
  message bigint primary key,
  subject text not null,
  reference text,
  message_id text not null,
  own_message_id boolean not null,
  route jsonb not null,                       -- array
  tags jsonb not null,                        -- object
  metadata jsonb not null,                    -- object
  door text not null,
  key_id text,
  envelope_sender text,
  on_unconfirmed text not null
);
create index details_message_id on details (message_id);
create index details_reference on details (reference) where reference is not null;

create table recipients (
  message bigint not null,
  position integer not null,
  address text not null,
  kind text not null,
  refused text,
  primary key (message, position)
);
create index recipients_address on recipients (lower(address), message);

create table tags (
  message bigint not null,
  name text not null,
  value text not null,
  primary key (name, value, message)
);
create index tags_message on tags (message);

-- body: up to 256 KB the header and the body in one value; beyond it the header alone, the body in chunks.
create table contents (
  id bigint primary key,
  header_size integer not null,
  body_size bigint not null,
  location text not null,                     -- inline | chunks | object
  key_id text,
  body bytea not null
);
alter table contents alter column body set storage external;   -- mail is base64 or sealed: compressing it is vain work
create table chunks (
  content bigint not null,
  n integer not null,
  at bigint not null,
  body bytea not null,
  primary key (content, n)
);
alter table chunks alter column body set storage external;
create index chunks_first on chunks (at) where n = 0;                                             -- lost uploads

create table idempotency (
  id bigint generated always as identity primary key,
  client text not null,
  key text not null,
  hash bytea not null,
  answer bytea not null,
  first bigint not null,                      -- the messages first … last; the row goes 24 h after the last is final
  last bigint not null,
  check_at bigint not null,
  unique (client, key)
);
create index idempotency_check on idempotency (check_at);

create table attempts (
  message bigint not null,
  number integer not null,
  attempt_id text not null,
  account bigint not null,
  transport text not null,
  kind text not null,
  worker bigint not null,
  started_at bigint not null,
  deadline_at bigint not null,
  ended_at bigint,
  outcome text,
  scope text,
  status text,
  code text,
  reply integer,
  text text,
  request_id text,
  retry_after double precision,
  receipt text,
  fix text,
  settled text,                               -- sent | not_sent: what became of an unconfirmed one
  primary key (message, number)
);
create index attempts_account on attempts (account, kind, started_at);                            -- pace, witnesses

-- lane is the account that the doubtful attempt used: its owner looks.
create table unsettled (
  message bigint primary key,
  lane bigint not null,
  number integer not null,
  since bigint not null,
  looks integer not null,
  last_absent_at bigint,
  look_at bigint,
  may_resend boolean not null
);
create index unsettled_look on unsettled (lane, look_at) where look_at is not null;

create table blocks (
  mailbox text not null,
  sender text not null,
  since bigint not null,
  probe_at bigint not null,
  reason text not null,
  primary key (mailbox, sender)
);

create table transports (
  name text primary key,
  state text not null,
  until bigint not null,
  opened integer not null,
  reason text not null,
  since bigint not null
);

-- feed: the number of the writing transaction (of the message's latest event, if that is higher) plus feed_base.raised.
-- Read in the order (feed, id) and only below the oldest transaction under way, it is the order of commits: nothing
-- appears behind a reader's back, and the events of one message stand in their order.
create table events (
  id bigint generated always as identity,
  feed bigint not null,
  message bigint not null,
  at bigint not null,
  type text not null,
  data jsonb not null,                        -- object
  primary key (feed, id)
);
create index events_message on events (message, feed, id);
-- After a restore into another cluster its transaction numbers begin anew: raised lifts the new ones above the old.
create table feed_base (one boolean primary key default true check (one), raised bigint not null);
insert into feed_base (raised) values (0);

create table clients (
  name text primary key,
  created_at bigint not null,
  paused_at bigint
);

create table keys (
  id text primary key,
  client text not null references clients,
  key_hash bytea not null,
  senders jsonb not null,                     -- array
  recipient_domains jsonb not null,           -- array
  scopes jsonb not null,                      -- array
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  last_used_at bigint
);

create table audit (
  id bigint generated always as identity primary key,
  at bigint not null,
  by text not null,
  action text not null,
  target text not null,
  data jsonb not null
);
create index audit_at on audit (at);
