-- :rows JSON array of [door, source, login, client, sender, code, detail, first_at, last_at, times].
insert into refusals as r (door, source, login, client, sender, code, detail, first_at, last_at, times)
select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, (value->>7)::bigint,
  (value->>8)::bigint, (value->>9)::bigint
from jsonb_array_elements(:rows::jsonb)
on conflict (door, source, login, client, sender, code) do update set detail = excluded.detail,
  last_at = greatest(r.last_at, excluded.last_at), times = r.times + excluded.times;
