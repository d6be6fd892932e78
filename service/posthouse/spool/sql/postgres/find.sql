-- The conditions of a list, put together by finding.py after record.sql; a line of two dashes and a name begins each. The
-- repeated ``status <> 'sent'`` is what lets PostgreSQL use messages_status whatever the parameter is.
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
and lower(m.sender) = lower(:sender)
--: recipient
and m.id in (select r.message from recipients r where lower(r.address) = lower(:recipient))
--: subject
and d.subject ilike :subject escape '\'
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
and m.public_id < :after
--: before
and m.public_id > :before
--: newest
order by m.public_id desc limit :limit
--: oldest
order by m.public_id asc limit :limit
