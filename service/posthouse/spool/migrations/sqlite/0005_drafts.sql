-- oldest: 2
-- A message that goes or went by drafts of Graph: how far the latest draft has come, until its strays were looked for.
create table drafts (
  message integer primary key,
  number integer not null,                    -- the attempt that wrote this
  state text not null,                        -- begun | submitted | missing
  id text,                                    -- Graph's immutable id; null before there is one
  pinned integer not null default 0,          -- after a doubt it lies there still: the message goes only by it
  begun integer not null,                     -- how many drafts were begun for the message
  lane integer not null references lanes,     -- of the account in whose mailbox it lies
  look_at integer,                            -- when its strays are looked for; null: not planned, or not final
  looked integer not null default 0           -- they were looked for in vain
);
create index drafts_look on drafts (lane, look_at) where look_at is not null;
