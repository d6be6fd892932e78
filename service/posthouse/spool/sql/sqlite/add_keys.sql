-- :keys JSON array of [client, key, hash in hex, first message, last message, when to look whether it may go],
-- :answers the stored answers one after another, cut by offset 6 (from 1) and length 7.
insert into idempotency (client, key, hash, first, last, check_at, answer)
select value->>0, value->>1, unhex(value->>2), value->>3, value->>4, value->>5, substr(:answers, value->>6, value->>7)
from jsonb_each(:keys);
