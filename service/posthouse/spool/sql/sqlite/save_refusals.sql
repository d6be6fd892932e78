-- :rows JSON array of [door, source, login, client, sender, code, detail, first_at, last_at, times].
insert into refusals (door, source, login, client, sender, code, detail, first_at, last_at, times)
select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9
from json_each(:rows) where true
on conflict (door, source, login, client, sender, code) do update set detail = excluded.detail,
  last_at = max(last_at, excluded.last_at), times = times + excluded.times;
