-- oldest: 2
-- A message that goes or went by drafts of Graph (the twin of SQLite's 0005): how far the latest draft has come, until
-- its strays were looked for.
create table drafts (
  message bigint primary key,
  number integer not null,                    -- the attempt that wrote this
  state text not null,                        -- begun | submitted | missing
  id text,                                    -- Graph's immutable id; null before there is one
  pinned boolean not null default false,      -- after a doubt it lies there still: the message goes only by it
  begun integer not null,                     -- how many drafts were begun for the message
  lane bigint not null,                       -- of the account in whose mailbox it lies
  look_at bigint,                             -- when its strays are looked for; null: not planned, or not final
  looked boolean not null default false       -- they were looked for in vain
);
create index drafts_look on drafts (lane, look_at) where look_at is not null;
