-- The attempt that may have been made after a copy was taken. :rows JSON array of [0 message, 1 number, 2 transport,
-- 3 kind, 4 account, 5 status, 6 held cause, 7 look_at, 8 cause for which it was held before, 9 event]. The time
-- before the restore does not count towards the default expiry, of at most 5 days (PROMISES §6).
insert into attempts (message, number, attempt_id, account, transport, kind, worker, started_at, deadline_at, ended_at,
                      outcome, scope, status, code, text)
select e.value->>0, e.value->>1, 'restored', l.id, e.value->>2, e.value->>3, :worker, :taken_at, :taken_at, :now,
       'unconfirmed', 'message', '4.3.0', 'restored',
       'the spool was restored from a copy: it may have been sent after the copy was made'
from jsonb_each(:rows) e join lanes l on l.account = e.value->>4;

update messages set status = e.value->>5, held_cause = e.value->>6, attempts = e.value->>1,
  gives_up_at = max(gives_up_at, :now + min(gives_up_at - accepted_at, 432000000))
from jsonb_each(:rows) e where messages.id = e.value->>0;

insert into unsettled (message, lane, number, since, looks, look_at, may_resend, held_cause)
select e.value->>0, l.id, e.value->>1, :now, 0, e.value->>7, 1, e.value->>8
from jsonb_each(:rows) e join lanes l on l.account = e.value->>4;

insert into events (message, at, type, data)
select value->>0, :now, value->>9,
       json_object('attempt', value->>1, 'transport', value->>2, 'outcome', 'unconfirmed', 'code', 'restored')
from jsonb_each(:rows);
