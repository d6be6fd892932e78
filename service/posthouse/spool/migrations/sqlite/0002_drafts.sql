-- A message that goes or went by drafts of Graph: how far the latest draft has come, until its strays were looked for.
create table drafts (
  message integer primary key,
  number integer not null,                    -- the attempt that wrote this
  state text not null,                        -- begun | submitted | missing
  id text,                                    -- Graph's immutable id; null before there is one
  pinned integer not null default 0,          -- after a doubt it lies there still: the message goes only by it
  begun integer not null,                     -- how many drafts were begun for the message
  look_at integer                             -- when its strays are looked for again; null: as soon as it is final
);
