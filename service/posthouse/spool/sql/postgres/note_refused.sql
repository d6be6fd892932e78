-- Recipients refused at RCPT, written down before DATA for the attempt that is under way.
update recipients r set refused = v.reply
from unnest(:addresses::text[], :replies::text[]) v(address, reply)
where r.message = :message and r.address = v.address
  and exists (select 1 from messages where id = :message and attempts = :number and status = 'sending');
