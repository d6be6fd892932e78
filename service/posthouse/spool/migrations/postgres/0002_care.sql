-- oldest: 2
-- Contents may be sealed from here on: code that knows only schema 1 would send what it cannot read.

-- What is true of the spool as a whole: copied_at (this is a copy made then, not yet settled: PROMISES §5).
create table facts (
  name text primary key,
  value bigint not null
);

-- The masters that contents may depend on: the one in force, and those whose data keys are not wrapped again yet.
create table masters (
  key_id text primary key,
  since bigint not null
);

alter table contents add column data_key bytea;             -- wrapped; null with key_id where the content lies open
alter table unsettled add column held_cause text;           -- why it was held before the doubt, and is again after it
alter table messages add column erased_at bigint;           -- a person asked for it: only what accounting needs is left
