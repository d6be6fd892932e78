-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
-- Held rows whose drafts could not be written for want of a right, tried last before :before.
select m.id from messages m
where m.status = 'held' and m.status <> 'sent' and m.held_cause = 'draft_permission'
  and (select max(coalesce(a.ended_at, a.started_at)) from attempts a where a.message = m.id) <= :before
  and m.id not in (select message from unsettled)
order by m.id limit :most;
