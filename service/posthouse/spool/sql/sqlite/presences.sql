-- In the order of rows.PresenceTuple.
select l.account, p.kind, p.own, p.level, p.proved_at, p.asked_at, p.ask_at, p.answer, hex(p.witness), p.witness_message_id,
       p.witness_sent_at, p.witness_transport
from presence p join lanes l on l.id = p.account order by l.account, p.kind, p.own desc;
