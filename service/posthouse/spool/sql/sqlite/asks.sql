-- Where a fresh witness is looked for now, in the lanes :lanes (JSON array): rows.PresenceTuple after the lane.
select l.id, l.account, p.kind, p.own, p.level, p.proved_at, p.asked_at, p.ask_at, p.answer, hex(p.witness), p.witness_message_id,
       p.witness_sent_at, p.witness_transport
from json_each(:lanes) e join presence p on p.account = e.value join lanes l on l.id = p.account
where p.ask_at is not null and p.ask_at <= :now order by p.ask_at limit :most;
