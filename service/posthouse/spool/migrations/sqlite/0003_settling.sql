-- oldest: 2
-- Settling under the lane's lease, proofs of presence, the slowest appearance, blocks that ended, the feed's lost part.

alter table unsettled add column lane integer;              -- the account that the doubtful attempt used: its owner looks
update unsettled set lane = (
  select a.account from attempts a where a.message = unsettled.message and a.number = unsettled.number);
create index unsettled_lane on unsettled (lane, look_at) where look_at is not null;

alter table lanes add column block_ended_at integer;        -- time behind it does not count towards the default expiry
alter table lanes add column proven_at integer;             -- has sent something, though its messages may be purged
alter table transports add column block_ended_at integer;
alter table pauses add column length integer;               -- what the pause was made for, should the clock be set back

-- Whether copies of an account's messages are found by their Message-ID, for each kind of transport and origin.
create table presence (
  account integer not null references lanes,
  kind text not null,
  own integer not null,                       -- 1: Message-IDs of ours, 0: of clients
  level text not null,                        -- none | look_up | draft
  proved_at integer,
  asked_at integer,
  ask_at integer,                             -- when a fresh witness is looked for; NULL: not before something is sent
  answer text,                                -- why the last look proved nothing
  witness blob,                               -- the message that proved it last: public id, Message-ID, sent, transport
  witness_message_id text,
  witness_sent_at integer,
  witness_transport text,
  primary key (account, kind, own)
) without rowid;
create index presence_ask on presence (ask_at) where ask_at is not null;

-- How long copies took to be found that an earlier look-up had not found; kept for a day.
create table appearances (
  message integer primary key,
  at integer not null,
  took integer not null
);
create index appearances_at on appearances (at);

-- The highest position of the feed that was deleted with its message.
create table feed (
  only_row integer primary key check (only_row = 1),
  purged integer not null
);
insert into feed (only_row, purged) values (1, 0);
