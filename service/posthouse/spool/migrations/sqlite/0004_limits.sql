-- oldest: 2
-- Room for Microsoft's limits. strand: what a row shares with the rows that can go exactly when it can (client, route, a
-- sender with a pace of its own); a lane's owner reads some rows of every strand, so that none hides another.
alter table messages add column strand text not null default '';
update messages set strand = client where status in ('queued', 'sending', 'held', 'unconfirmed');
create index messages_turn on messages (lane, priority, strand, due_at, id) where status = 'queued';   -- peek
drop index messages_ready;                    -- an older version is slower without it, never wrong

-- What an attempt takes of its account's day and uploads.
alter table attempts add column recipients integer not null default 0;
alter table attempts add column wire_bytes integer not null default 0;

-- Recipients of attempts that were sent, are in doubt or under way, by hours since 1970.
create table recipient_hours (
  account integer not null references lanes,
  hour integer not null,
  recipients integer not null,
  primary key (account, hour)
) without rowid;
create index recipient_hours_hour on recipient_hours (hour);                                      -- the tenant's day

-- What a person last said. While told_paused, lanes.paused_until is the end of the year 9999.
alter table lanes add column told_at integer not null default 0;
alter table lanes add column told_paused integer not null default 0;
alter table lanes add column told_by text not null default '';
create index lanes_told on lanes (told_at) where told_at > 0;
alter table transports add column told_at integer not null default 0;
alter table transports add column told_paused integer not null default 0;
alter table transports add column told_by text not null default '';
