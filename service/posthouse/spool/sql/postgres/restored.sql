-- The attempt that may have been made after a copy was taken: arrays of one element a message. The time before the
-- restore does not count towards the default expiry, of at most 5 days (PROMISES §6).
with i as materialized (
  select * from unnest(:messages::bigint[], :numbers::integer[], :transports::text[], :kinds::text[], :lanes::bigint[],
                       :statuses::text[], :causes::text[], :looks::bigint[], :befores::text[], :events::text[])
    i(message, number, transport, kind, lane, status, cause, look_at, held_before, event)
), a as (
  insert into attempts (message, number, attempt_id, account, transport, kind, worker, started_at, deadline_at, ended_at,
                        outcome, scope, status, code, text)
  select message, number, 'restored', lane, transport, kind, :worker, :taken_at, :taken_at, :now::bigint,
         'unconfirmed', 'message', '4.3.0', 'restored',
         'the spool was restored from a copy: it may have been sent after the copy was made'
  from i
), m as (
  update messages m set status = i.status, held_cause = i.cause, attempts = i.number,
    gives_up_at = greatest(m.gives_up_at, :now::bigint + least(m.gives_up_at - m.accepted_at, 432000000)),
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from i where m.id = i.message returning m.id, m.feed
), u as (
  insert into unsettled (message, lane, number, since, looks, look_at, may_resend, held_cause)
  select message, lane, number, :now::bigint, 0, look_at, true, held_before from i
)
insert into events (feed, message, at, type, data)
select m.feed, i.message, :now::bigint, i.event,
       jsonb_build_object('attempt', i.number, 'transport', i.transport, 'outcome', 'unconfirmed', 'code', 'restored')
from i join m on m.id = i.message;
