-- Write ``sending`` with its attempt; :marks as in mark_eligible.sql, all of them may go.
insert into attempts (message, number, attempt_id, account, transport, kind, worker, started_at, deadline_at,
                      recipients, wire_bytes)
select e.value->>0, e.value->>1, e.value->>2, l.id, e.value->>5, e.value->>6, :worker, e.value->>8, e.value->>9,
       e.value->>10, e.value->>11
from jsonb_each(:marks) e
join lanes l on l.account = e.value->>7;

insert into recipient_hours (account, hour, recipients)
select l.id, e.value->>8 / 3600000, sum(e.value->>10)
from jsonb_each(:marks) e join lanes l on l.account = e.value->>7 group by 1, 2
on conflict (account, hour) do update set recipients = recipients + excluded.recipients;

update messages set status = 'sending', attempts = e.value->>1
from jsonb_each(:marks) e
where messages.id = e.value->>0;

insert into events (message, at, type, data)
select value->>0, value->>8, 'message.sending',
       json_object('transport', value->>5, 'attempt', value->>1, 'attempt_id', value->>2)
from jsonb_each(:marks);
