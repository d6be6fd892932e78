-- The conditions of a list, put together by finding.py after record.sql; a line of two dashes and a name begins each. The
-- repeated ``status <> 'sent'`` is what lets SQLite use messages_status (sqlite.org/partialindex.html §3).
--: sent
and m.status = 'sent'
--: stored
and m.status = :status and m.status <> 'sent'
--: scheduled
and m.status = 'queued' and m.status <> 'sent' and m.attempts = 0 and m.due_at > :now
--: queued
and m.status = 'queued' and m.status <> 'sent' and m.attempts = 0 and m.due_at <= :now
--: deferred
and m.status = 'queued' and m.status <> 'sent' and m.attempts > 0
--: sender
and m.sender = :sender
--: recipient
and m.id in (select r.message from recipients r where r.address = :recipient)
--: subject
and d.subject like :subject escape '\'
--: reference
and m.id in (select r.message from details r where r.reference = :reference)
--: message_id
and m.id in (select r.message from details r where r.message_id = :message_id)
--: tag
and m.id in (select t.message from tags t where t.name = :tag_name_{n} and t.value = :tag_value_{n})
--: client
and m.client = :client
--: door
and d.door = :door
--: transport
and exists (select 1 from attempts a where a.message = m.id and a.number = m.attempts and a.transport = :transport)
--: created_after
and m.accepted_at > :created_after
--: created_before
and m.accepted_at < :created_before
--: after
and m.id < :after
--: before
and m.id > :before
--: newest
order by m.id desc limit :limit
--: oldest
order by m.id asc limit :limit
