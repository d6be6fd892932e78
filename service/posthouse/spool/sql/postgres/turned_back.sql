-- The clock was set back by :by: what waits by our own reckoning (never what a client scheduled) waits no longer than it
-- was made to; what lies in the future counts as now. Answers the lanes that must be reckoned again.
with m as (
  update messages set due_at = greatest(:now::bigint, due_at - :by)
  where status = 'queued' and due_at > :now::bigint and (attempts > 0 or due_at = accepted_at)
    and due_at is distinct from (select d.scheduled_at from details d where d.message = messages.id)
), u as (
  update unsettled set since = least(since, :now::bigint),
    look_at = case when look_at > :now::bigint then greatest(:now::bigint, look_at - :by) else look_at end
), p as (
  update presence set ask_at = greatest(:now::bigint, ask_at - :by) where ask_at > :now::bigint
), i as (
  update inboxes set next_at = greatest(:now::bigint, next_at - :by) where next_at > :now::bigint
), b as (
  update blocks set probe_at = greatest(:now::bigint, probe_at - :by) where probe_at > :now::bigint
), t as (
  update transports set until = greatest(:now::bigint, until - :by) where until > :now::bigint
), x as (
  update pauses set until = least(until, :now::bigint + coalesce(length, until - since)), since = least(since, :now::bigint),
    asked_until = least(asked_until, :now::bigint + coalesce(length, until - since))
  where until > :now::bigint returning lane, transport, until
)
update lanes l set paused_until = case when x.until is null or l.told_paused then l.paused_until else x.until end
from (select id from lanes where next_at > :now::bigint) n left join x on x.lane = n.id and x.transport = ''
where l.id = n.id returning l.id;
