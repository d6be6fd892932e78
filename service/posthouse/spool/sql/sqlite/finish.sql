-- Write outcomes. :ends JSON array of arrays:
--  0 message, 1 number, 2 ended_at, 3 outcome, 4 scope, 5 status code, 6 code, 7 reply, 8 text, 9 request id,
--  10 retry after, 11 receipt, 12 fix, 13 status, 14 due_at, 15 gives_up_at, 16 next transport, 17 held cause,
--  18 look_at, 19 event, 20 data, 21 attempt id, 22 the account whose lane it goes into, unless that is paused.
update attempts set ended_at = e.value->>2, outcome = e.value->>3, scope = e.value->>4, status = e.value->>5,
  code = e.value->>6, reply = e.value->>7, text = e.value->>8, request_id = e.value->>9, retry_after = e.value->>10,
  receipt = e.value->>11, fix = e.value->>12
from jsonb_each(:ends) e
where attempts.message = e.value->>0 and attempts.number = e.value->>1;

-- A late outcome of a message whose right to be sent again was taken away ends it instead of queueing it.
update messages set
  status = s.status,
  due_at = coalesce(s.due_at, messages.due_at),
  gives_up_at = coalesce(s.gives_up_at, messages.gives_up_at),
  next_transport = s.next_transport,
  lane = coalesce(s.lane, messages.lane),
  held_cause = s.held_cause,
  finished_at = case when s.status in ('sent', 'failed', 'expired', 'canceled') then s.ended_at end
from (
  select e.value->>0 as message, e.value->>2 as ended_at, e.value->>14 as due_at, e.value->>15 as gives_up_at,
         e.value->>16 as next_transport, e.value->>17 as held_cause,
         case when e.value->>13 in ('queued', 'held') and u.may_resend = 0
              then case when m.expires_at <= e.value->>2 then 'expired' else 'canceled' end
              else e.value->>13 end as status,
         l.id as lane
  from jsonb_each(:ends) e
  join messages m on m.id = e.value->>0
  left join unsettled u on u.message = m.id
  left join lanes l on l.account = e.value->>22 and coalesce(l.paused_until, 0) <= e.value->>2
) s
where messages.id = s.message;

insert into events (message, at, type, data)
select e.value->>0, e.value->>2,
       case when m.status = e.value->>13 then e.value->>19 else 'message.' || m.status end,
       json_set(e.value->20, '$.transport', a.transport)
from jsonb_each(:ends) e
join messages m on m.id = e.value->>0
join attempts a on a.message = m.id and a.number = e.value->>1;

delete from unsettled where message in (select value->>0 from jsonb_each(:ends));
