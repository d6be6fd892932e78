-- Unsettled ones only lose the right to be sent again (PROMISES §5). :messages JSON array of ids.
update unsettled set may_resend = 0 where message in (select value from json_each(:messages));
insert into events (message, at, type, data)
select value, :now, 'message.resend_withdrawn', json_object('cause', 'expires_at') from json_each(:messages);
