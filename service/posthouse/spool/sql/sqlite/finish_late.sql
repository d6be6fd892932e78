-- Outcomes that change nothing any more are history: [0 message, 1 number, 2 at, 3 data].
insert into events (message, at, type, data)
select m.id, e.value->>2, 'message.late_outcome', e.value->3
from jsonb_each(:late) e join messages m on m.id = e.value->>0;
