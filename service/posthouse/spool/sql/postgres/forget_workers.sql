-- Workers that are long gone and hold nothing.
delete from workers w where w.alive_until < (extract(epoch from clock_timestamp()) * 1000)::bigint - 86400000
  and not exists (select 1 from lanes l where l.owner = w.id)
  and not exists (select 1 from messages m join attempts a on a.message = m.id and a.number = m.attempts
                  where m.status = 'sending' and a.worker = w.id);
