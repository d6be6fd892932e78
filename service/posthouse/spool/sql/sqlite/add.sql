-- Accept a group. :messages JSON array of arrays in the order of accepting.py's _row:
--  0 id, 1 public id in hex, 2 client, 3 account, 4 priority, 5 due_at, 6 expires_at, 7 gives_up_at, 8 held cause,
--  9 mailbox, 10 sender, 11 size, 12 accepted_at, 13 subject, 14 reference, 15 message_id, 16 own message id, 17 route,
--  18 tags, 19 metadata, 20 door, 21 key id, 22 envelope sender, 23 on_unconfirmed, 24 recipients [[address, kind]],
--  25 strand, 26 traceparent.
-- :contents JSON array of [0 id, 1 header size, 2 body size, 3 location, 4 key id, 5 offset, 6 length of the wrapped
-- data key, 7 length of the body], offsets into :bytes from 1: the wrapped key, then the body.

insert into contents (id, header_size, body_size, location, key_id, data_key, body)
select value->>0, value->>1, value->>2, value->>3, value->>4,
       case when value->>4 is not null then substr(:bytes, value->>5, value->>6) end,
       substr(:bytes, (value->>5) + (value->>6), value->>7)
from jsonb_each(:contents);

-- The lane is made and woken here: a lane that has something due already is not written (SPOOL §6.2).
insert into lanes (account, next_at)
select value->>3, min(case when value->>8 is null then value->>5 end) from jsonb_each(:messages) group by 1
on conflict (account) do update set next_at = max(excluded.next_at, coalesce(paused_until, 0))
where excluded.next_at is not null and (next_at is null or next_at > max(excluded.next_at, coalesce(paused_until, 0)));

-- A blocked sender's new rows are held in the same transaction that reads the block (PROMISES §6).
insert into messages (id, public_id, client, lane, status, priority, due_at, expires_at, gives_up_at, attempts,
                      held_cause, mailbox, sender, size, accepted_at, strand)
select n.value->>0, unhex(n.value->>1), n.value->>2, l.id,
       case when n.value->>8 is null and b.mailbox is null then 'queued' else 'held' end,
       n.value->>4, n.value->>5, n.value->>6, n.value->>7, 0,
       coalesce(n.value->>8, case when b.mailbox is not null then 'sender_blocked' end),
       n.value->>9, n.value->>10, n.value->>11, n.value->>12, n.value->>25
from jsonb_each(:messages) n
join lanes l on l.account = n.value->>3
left join blocks b on b.mailbox = n.value->>9 and b.sender = n.value->>10;

insert into details (message, subject, reference, message_id, own_message_id, route, tags, metadata, door, key_id,
                     envelope_sender, on_unconfirmed, scheduled_at)
select value->>0, value->>13, value->>14, value->>15, value->>16, value->17, value->18, value->19, value->>20,
       value->>21, value->>22, value->>23, nullif(value->>5, value->>12)
from jsonb_each(:messages);

insert into recipients (message, position, address, kind)
select n.value->>0, r.key, r.value->>0, r.value->>1 from jsonb_each(:messages) n, jsonb_each(n.value, '$[24]') r;

insert into events (message, at, type, data)
select m.id, m.accepted_at, t.type,
       case when t.type = 'message.held' then json_object('cause', m.held_cause)
            when n.value->>26 is null then json_object('door', n.value->>20)
            else json_object('door', n.value->>20, 'traceparent', n.value->>26) end
from jsonb_each(:messages) n
join messages m on m.id = n.value->>0
join (select 'message.accepted' as type union all select 'message.held') t
  on t.type = 'message.accepted' or m.status = 'held';
