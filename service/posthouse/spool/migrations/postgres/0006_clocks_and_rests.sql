-- oldest: 2
-- How far the times that processes write down are ahead of a clock that nobody can set, by boot of the machine, and the
-- time from which on they all were so: what was written down before says nothing about how long ago it was.
create table clocks (
  boot text primary key,
  ahead bigint not null,
  since bigint not null,
  noted_at bigint not null
);

-- Until when Microsoft asked to wait, where a block or a used day makes the same pause longer: look-ups obey only this.
alter table pauses add column asked_until bigint not null default 0;

-- The time that a client or a person set: what waits for it waits by no reckoning of ours. Null in rows of before.
alter table details add column scheduled_at bigint;

-- A copy was restored: it may have gone by any transport of its route since.
alter table unsettled add column any_way boolean not null default false;
