-- oldest: 2
-- Proofs of presence, the slowest appearance, blocks that ended, the feed's lost part (the twin of SQLite's 0002).
alter table lanes add column block_ended_at bigint,         -- time behind it does not count towards the default expiry
                  add column proven_at bigint;              -- has sent something, though its messages may be purged
alter table transports add column block_ended_at bigint;
alter table pauses add column length bigint;                -- what the pause was made for, should the clock be set back

-- Whether copies of an account's messages are found by their Message-ID, for each kind of transport and origin.
create table presence (
  account bigint not null,
  kind text not null,
  own boolean not null,                       -- true: Message-IDs of ours, false: of clients
  level text not null,                        -- none | look_up | draft
  proved_at bigint,
  asked_at bigint,
  ask_at bigint,                              -- when a fresh witness is looked for; NULL: not before something is sent
  answer text,                                -- why the last look proved nothing
  witness uuid,                               -- the message that proved it last: public id, Message-ID, sent, transport
  witness_message_id text,
  witness_sent_at bigint,
  witness_transport text,
  primary key (account, kind, own)
);

-- How long copies took to be found that an earlier look-up had not found; kept for a day.
create table appearances (
  message bigint primary key,
  at bigint not null,
  took bigint not null
);
create index appearances_at on appearances (at);

-- The highest place of the feed that was deleted with its message.
alter table feed_base add column purged bigint not null default 0;
