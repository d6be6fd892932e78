-- Rows of one status that were due by :due_by and may have been sent after a copy was made.
-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
select m.id, m.attempts, m.held_cause, m.mailbox, d.route, d.on_unconfirmed
from messages m join details d on d.message = m.id
where m.status = :status and m.status <> 'sent' and m.id > :after and m.due_at <= :due_by and m.accepted_at <= :taken_at
  and not exists (select 1 from unsettled u where u.message = m.id)
order by m.id limit :most;
