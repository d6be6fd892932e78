-- The clock was set back by :by: what waits by our own reckoning (never what a client scheduled) waits no longer than it
-- was made to; what lies in the future counts as now.
update messages set due_at = max(:now, due_at - :by)
where status = 'queued' and due_at > :now and (attempts > 0 or due_at = accepted_at)
  and due_at is not (select d.scheduled_at from details d where d.message = messages.id);
update unsettled set since = min(since, :now), look_at = case when look_at > :now then max(:now, look_at - :by) else look_at end;
update presence set ask_at = max(:now, ask_at - :by) where ask_at > :now;
update inboxes set next_at = max(:now, next_at - :by) where next_at > :now;
update blocks set probe_at = max(:now, probe_at - :by) where probe_at > :now;
update transports set until = max(:now, until - :by) where until > :now;
update pauses set until = min(until, :now + coalesce(length, until - since)), since = min(since, :now),
  asked_until = min(asked_until, :now + coalesce(length, until - since)) where until > :now;
update lanes set paused_until = (select p.until from pauses p where p.lane = lanes.id and p.transport = '')
where paused_until is not null and not told_paused;
select id from lanes where next_at > :now;
