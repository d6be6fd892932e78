-- Attempts that ended with their process before their draft was sent: :rows JSON array of [0 message, 1 number].
update attempts set outcome = 'transient_failure', scope = 'message', status = '4.4.7', code = 'process_died',
  text = 'the process ended before the draft was sent'
from json_each(:rows) e
where attempts.message = e.value->>0 and attempts.number = e.value->>1;

update messages set status = 'queued' where id in (select value->>0 from json_each(:rows));

insert into events (message, at, type, data)
select e.value->>0, :now, 'message.deferred',
       json_object('attempt', a.number, 'transport', a.transport, 'outcome', 'transient_failure', 'code', 'process_died')
from json_each(:rows) e join attempts a on a.message = e.value->>0 and a.number = e.value->>1;
