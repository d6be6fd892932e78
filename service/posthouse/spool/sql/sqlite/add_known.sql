-- Answers given before. :keys JSON array of [client, key].
select i.client, i.key, i.hash, i.answer
from json_each(:keys) k
join idempotency i on i.client = k.value->>0 and i.key = k.value->>1;
