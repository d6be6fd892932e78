-- What dead workers left in ``sending`` whose draft was certainly not sent goes again at once: it was being made, or it
-- was complete and the attempt that would send it again had not written that down. Answers the messages. See
-- left_sending.sql.
with l as materialized (
  select m.id, m.attempts
  from messages m
  join attempts a on a.message = m.id and a.number = m.attempts
  join drafts d on d.message = m.id
  join attempts b on b.message = d.message and b.number = d.number
  where m.status = 'sending' and m.status <> 'sent' and a.worker <> :worker
    and (d.number = m.attempts and d.state = 'begun'
         or d.number < m.attempts and d.state = 'submitted' and b.transport = a.transport and b.account = a.account)
    and not exists (select 1 from workers w where w.id = a.worker
                    and w.alive_until >= (extract(epoch from clock_timestamp()) * 1000)::bigint)
  order by m.id limit 500 for update of m skip locked
), a as (
  update attempts a set outcome = 'transient_failure', scope = 'message', status = '4.4.7', code = 'process_died',
    text = 'the process ended before the draft was sent'
  from l where a.message = l.id and a.number = l.attempts
  returning a.message, a.number, a.transport, a.account, a.started_at, a.recipients
), back as (
  insert into recipient_hours (account, hour, recipients)
  select account, started_at / 3600000, -sum(recipients) from a group by 1, 2 order by 1, 2
  on conflict (account, hour) do update set recipients = recipient_hours.recipients + excluded.recipients
), u as (
  update messages m set status = 'queued', feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from l where m.id = l.id returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select u.feed, u.id, :now::bigint, 'message.deferred',
         jsonb_build_object('attempt', a.number, 'transport', a.transport, 'outcome', 'transient_failure', 'code', 'process_died')
  from u join a on a.message = u.id
)
select id from u;
