-- The repeated ``status <> 'sent'`` lets SQLite use messages_status (sqlite.org/partialindex.html §3).
-- Held rows whose cause is gone, with that cause: their sender's block was deleted, a transport of their route is
-- configured (:transports, JSON array), one of :carrying takes header recipients outside of the envelope, or their
-- client was resumed.
select * from (
  select m.id, m.held_cause from messages m
  where m.status = 'held' and m.status <> 'sent' and m.held_cause = 'sender_blocked'
    and not exists (select 1 from blocks b where b.mailbox = m.mailbox and b.sender = m.sender)
  union all
  select m.id, m.held_cause from messages m join details d on d.message = m.id
  where m.status = 'held' and m.status <> 'sent' and m.held_cause = 'no_transport'
    and exists (select 1 from json_each(d.route) r where r.value in (select value from json_each(:transports)))
  union all
  select m.id, m.held_cause from messages m join details d on d.message = m.id
  where m.status = 'held' and m.status <> 'sent' and m.held_cause = 'extra_header_recipients'
    and exists (select 1 from json_each(d.route) r where r.value in (select value from json_each(:carrying)))
  union all
  select m.id, m.held_cause from messages m
  where m.status = 'held' and m.status <> 'sent' and m.held_cause = 'client_paused'
    and not exists (select 1 from clients c where c.name = m.client and c.paused_at is not null)
) where id not in (select message from unsettled) limit :most;
