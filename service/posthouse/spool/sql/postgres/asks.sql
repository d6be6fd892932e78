-- Where a fresh witness is looked for now, in those of :lanes that this worker holds: rows.PresenceTuple after the lane.
select l.id, l.account, p.kind, p.own, p.level, p.proved_at, p.asked_at, p.ask_at, p.answer,
       replace(p.witness::text, '-', ''), p.witness_message_id, p.witness_sent_at, p.witness_transport
from lanes l join presence p on p.account = l.id
where l.owner = :worker and l.id = any(:lanes::bigint[]) and p.ask_at <= :now order by p.ask_at limit :most;
