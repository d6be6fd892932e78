-- :rows JSON array of [0 message, 1 number, 2 status, 3 held cause, 4 since, 5 look_at, 6 event]; :code and :text say
-- how the attempt was lost.
update attempts set outcome = 'unconfirmed', scope = 'message', status = '4.4.7', code = :code, text = :text
from json_each(:rows) e
where attempts.message = e.value->>0 and attempts.number = e.value->>1;

update messages set status = e.value->>2, held_cause = e.value->>3
from json_each(:rows) e
where messages.id = e.value->>0;

insert into unsettled (message, number, since, looks, look_at, may_resend, lane)
select value->>0, value->>1, value->>4, 0, value->>5, 1, 
       (select a.account from attempts a where a.message = value->>0 and a.number = value->>1)
from json_each(:rows)
where value->>2 <> 'queued' on conflict (message) do nothing;

insert into events (message, at, type, data)
select e.value->>0, :now, e.value->>6,
       json_object('attempt', a.number, 'transport', a.transport, 'outcome', 'unconfirmed', 'code', :code)
from json_each(:rows) e join attempts a on a.message = e.value->>0 and a.number = e.value->>1;
