-- oldest: 2
-- A key is a program's, a device's (a password for the SMTP door), with the networks it may come from (none: all).
alter table keys add column kind text not null default 'api';
alter table keys add column networks text not null default '[]';              -- JSON array

-- What holds for all of a client's mail: its rate, its size, what its door cannot say.
alter table clients add column terms text not null default '{}';              -- JSON object

-- How many messages a client submitted by minutes since 1970, by the process that took them: the window of its rate.
create table client_minutes (
  owner text not null,
  client text not null,
  minute integer not null,
  messages integer not null,
  primary key (client, minute, owner)
) without rowid;
create index client_minutes_minute on client_minutes (minute);

-- Who was refused, grouped: after a cut-over the list that names the device that still fails.
create table refusals (
  door text not null,
  source text not null,
  login text not null,
  client text not null,
  sender text not null,
  code text not null,
  detail text not null,
  first_at integer not null,
  last_at integer not null,
  times integer not null,
  primary key (door, source, login, client, sender, code)
) without rowid;
create index refusals_last on refusals (last_at);
