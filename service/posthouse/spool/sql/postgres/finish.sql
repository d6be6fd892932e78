-- Write outcomes, arrays of one element an outcome. What may be done with each: 'none' where this attempt was never
-- written down (its mark failed; another may have its number), 'apply' where its attempt is the last one and nobody
-- knows the end yet (a late Sent also ends a message that waits to be sent again because nobody knew), 'again' where
-- just this outcome was written before (its commit's answer was lost), else 'late': then it is an event.
-- Answers these words in order, and the messages whose lane must be woken because this worker does not hold it, or may
-- be giving it back.
with i as materialized (
  select * from unnest(
    :messages::bigint[], :numbers::integer[], :ends::bigint[], :outcomes::text[], :scopes::text[], :statuses::text[],
    :codes::text[], :replies::integer[], :texts::text[], :request_ids::text[], :retry_afters::double precision[],
    :receipts::text[], :fixes::text[], :stands::text[], :dues::bigint[], :gives_ups::bigint[], :next_transports::text[],
    :held_causes::text[], :looks::bigint[], :events::text[], :datas::text[], :attempt_ids::text[],
    :doubts::boolean[], :accounts::text[]
  ) with ordinality as i(
    message, number, ended_at, outcome, scope, status, code, reply, text, request_id, retry_after, receipt, fix, stands,
    due_at, gives_up_at, next_transport, held_cause, look_at, event, data, attempt_id, doubt,
    next_account, o)
), held as materialized (
  -- locked in one order; a row that was waited for is judged by what it is now
  select m.id, m.attempts, m.status, m.expires_at, m.lane
  from messages m where m.id in (select message from i) order by m.id for update
), s as materialized (
  select i.*, h.expires_at, h.lane, u.may_resend,
    case
      when a.message is null then 'none'
      when h.attempts = i.number
        and (h.status = 'sending'
             or (i.outcome <> 'unconfirmed' and u.number = i.number and h.status in ('unconfirmed', 'held'))
             or (i.outcome = 'sent' and h.status in ('queued', 'held') and a.outcome = 'unconfirmed'))
        then 'apply'
      when a.ended_at = i.ended_at and a.outcome = i.outcome then 'again'
      else 'late'
    end as what
  from i
  left join held h on h.id = i.message
  left join unsettled u on u.message = i.message
  left join attempts a on a.message = i.message and a.number = i.number
    and (i.attempt_id is null or a.attempt_id = i.attempt_id)
), x as (
  update attempts a set ended_at = s.ended_at, outcome = s.outcome, scope = s.scope, status = s.status, code = s.code,
    reply = s.reply, text = s.text, request_id = s.request_id, retry_after = s.retry_after, receipt = s.receipt,
    fix = s.fix
  from s where s.what = 'apply' and a.message = s.message and a.number = s.number
  returning a.message, a.account, a.transport, a.started_at, a.recipients
), f as materialized (
  -- a late outcome of a message whose right to be sent again was taken away ends it instead of queueing it; :accounts
  -- names the account whose lane it goes into, unless that is paused
  select s.*, x.account, x.transport, x.started_at, x.recipients, n.id as next_lane,
    case when s.stands in ('queued', 'held') and not coalesce(s.may_resend, true)
         then case when s.expires_at <= s.ended_at then 'expired' else 'canceled' end
         else s.stands end as becomes
  from s join x on x.message = s.message
  left join lanes n on n.account = s.next_account and coalesce(n.paused_until, 0) <= s.ended_at
  where s.what = 'apply'
), back as (
  -- what was certainly not sent does not count for its account's day
  insert into recipient_hours (account, hour, recipients)
  select account, started_at / 3600000, -sum(recipients) from f
  where outcome not in ('sent', 'unconfirmed') group by 1, 2 order by 1, 2
  on conflict (account, hour) do update set recipients = recipient_hours.recipients + excluded.recipients
), u as (
  update messages m set status = f.becomes, due_at = coalesce(f.due_at, m.due_at),
    gives_up_at = coalesce(f.gives_up_at, m.gives_up_at), next_transport = f.next_transport, held_cause = f.held_cause,
    lane = coalesce(f.next_lane, m.lane),
    finished_at = case when f.becomes in ('sent', 'failed', 'expired', 'canceled') then f.ended_at end,
    feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from f where m.id = f.message
  returning m.id, m.feed
), late as (
  update messages m set feed = greatest(m.feed, pg_current_xact_id()::text::bigint + (select raised from feed_base))
  from s where s.what = 'late' and m.id = s.message
  returning m.id, m.feed
), e as (
  insert into events (feed, message, at, type, data)
  select u.feed, f.message, f.ended_at, case when f.becomes = f.stands then f.event else 'message.' || f.becomes end,
         f.data::jsonb || jsonb_build_object('transport', f.transport)
  from f join u on u.id = f.message
  union all
  select late.feed, s.message, s.ended_at, 'message.late_outcome', s.data::jsonb
  from s join late on late.id = s.message where s.what = 'late'
), gone as (
  delete from unsettled d using f where d.message = f.message and not f.doubt
), doubt as (
  insert into unsettled (message, lane, number, since, looks, look_at, may_resend)
  select f.message, f.account, f.number, f.ended_at, 0, f.look_at, true from f where f.doubt
  on conflict (message) do nothing
), refused as (
  update recipients r set refused = v.reply
  from unnest(:refused_messages::bigint[], :refused_addresses::text[], :refused_replies::text[]) v(message, address, reply)
  join f on f.message = v.message and f.becomes <> 'queued'
  where r.message = v.message and r.address = v.address
), unrefused as (
  -- the next try asks all recipients again
  update recipients r set refused = null from f
  where f.becomes = 'queued' and r.message = f.message and r.refused is not null
)
select array(select what from s order by o),
       array(select f.message from f join lanes l on l.id = case when f.doubt then f.account else f.lane end
             where (f.becomes = 'queued' or f.doubt) and (f.next_lane is not null or l.owner is distinct from :worker));
