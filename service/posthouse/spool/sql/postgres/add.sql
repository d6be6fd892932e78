-- Accept a group in one statement: arrays of one element a message, in the order of accepting.py; :keyed tells messages
-- whose submission has an idempotency key, the arrays :key_… have one element a key. Answers the ids that were added
-- (also before, by a statement whose answer was lost) and the lanes that sleep too long, [[lane, due]].
with k as (
  insert into idempotency (client, key, hash, answer, first, last, check_at)
  select * from unnest(:key_clients::text[], :key_keys::text[], :key_hashes::bytea[], :key_answers::bytea[],
                       :key_firsts::bigint[], :key_lasts::bigint[], :key_checks::bigint[])
  on conflict (client, key) do nothing
  returning first, last
), l as materialized (
  -- who gives a lane back waits for this lock, and then sees these messages (SPOOL §6.2, the lost wake-up)
  select id, next_at, paused_until from lanes where id = any(:lane_ids::bigint[]) order by id for share
), n as materialized (
  select * from unnest(
    :ids::bigint[], :public_ids::uuid[], :clients::text[], :lanes::bigint[], :priorities::smallint[], :dues::bigint[],
    :expiries::bigint[], :gives_ups::bigint[], :held_causes::text[], :mailboxes::text[], :senders::text[],
    :sizes::bigint[], :accepteds::bigint[], :subjects::text[], :references::text[], :message_ids::text[],
    :owns::boolean[], :routes::text[], :tags::text[], :metadatas::text[], :doors::text[], :key_ids::text[],
    :envelope_senders::text[], :wishes::text[], :recipients::text[], :keyed::boolean[], :header_sizes::integer[],
    :body_sizes::bigint[], :locations::text[], :seal_names::text[], :data_keys::bytea[], :bodies::bytea[],
    :strands::text[], :traceparents::text[]
  ) with ordinality as n(
    id, public_id, client, lane, priority, due_at, expires_at, gives_up_at, held_cause, mailbox, sender, size,
    accepted_at, subject, reference, message_id, own, route, tags, metadata, door, key_id, envelope_sender, wish,
    recipients, keyed, header_size, body_size, location, seal_name, data_key, body,
    strand, traceparent, o)
  where not n.keyed or exists (select 1 from k where n.id between k.first and k.last)
), m as (
  -- a blocked sender's new rows are held in the same transaction that reads the block (PROMISES §6)
  insert into messages (id, public_id, client, lane, status, priority, due_at, expires_at, gives_up_at, attempts,
                        held_cause, mailbox, sender, size, accepted_at, strand, feed)
  select n.id, n.public_id, n.client, n.lane,
         case when n.held_cause is null and b.mailbox is null then 'queued' else 'held' end,
         n.priority, n.due_at, n.expires_at, n.gives_up_at, 0,
         coalesce(n.held_cause, case when b.mailbox is not null then 'sender_blocked' end),
         n.mailbox, n.sender, n.size, n.accepted_at, n.strand,
         pg_current_xact_id()::text::bigint + (select raised from feed_base)
  from n left join blocks b on b.mailbox = n.mailbox and b.sender = n.sender
  order by n.o
  on conflict (id) do nothing
  returning id, lane, status, due_at, held_cause, accepted_at, feed
), c as (
  insert into contents (id, header_size, body_size, location, key_id, data_key, body)
  select n.id, n.header_size, n.body_size, n.location, n.seal_name, n.data_key, n.body from n join m using (id)
), d as (
  insert into details (message, subject, reference, message_id, own_message_id, route, tags, metadata, door, key_id,
                       envelope_sender, on_unconfirmed, scheduled_at)
  select n.id, n.subject, n.reference, n.message_id, n.own, n.route::jsonb, n.tags::jsonb, n.metadata::jsonb, n.door,
         n.key_id, n.envelope_sender, n.wish, nullif(n.due_at, n.accepted_at)
  from n join m using (id)
), r as (
  insert into recipients (message, position, address, kind)
  select n.id, x.o - 1, x.value->>0, x.value->>1
  from n join m using (id), jsonb_array_elements(n.recipients::jsonb) with ordinality x(value, o)
), t as (
  insert into tags (message, name, value)
  select n.id, x.key, x.value from n join m using (id), jsonb_each_text(n.tags::jsonb) x
), e as (
  insert into events (feed, message, at, type, data)
  select m.feed, m.id, m.accepted_at, 'message.' || y.type,
         case when y.type = 'held' then jsonb_build_object('cause', m.held_cause)
              when n.traceparent is null then jsonb_build_object('door', n.door)
              else jsonb_build_object('door', n.door, 'traceparent', n.traceparent) end
  from n join m using (id)
  join (values (1, 'accepted'), (2, 'held')) y(o, type) on y.type = 'accepted' or m.status = 'held'
  order by n.o, y.o
), asleep as (
  select l.id, l.next_at, min(greatest(m.due_at, l.paused_until)) as due
  from m join l on l.id = m.lane where m.status = 'queued' group by l.id, l.next_at
)
select array(select id from m union select x.id from messages x where x.id = any(:ids::bigint[])),
       array(select first from k),
       (select jsonb_agg(jsonb_build_array(id, due)) from asleep where next_at is null or next_at > due);
