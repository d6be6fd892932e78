-- Answers given before to these keys, in no order.
select i.client, i.key, i.hash, i.answer, i.first
from unnest(:clients::text[], :keys::text[]) k(client, key)
join idempotency i on i.client = k.client and i.key = k.key;
