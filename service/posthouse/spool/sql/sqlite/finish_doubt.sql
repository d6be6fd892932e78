-- Unconfirmed ones, also those held without look-ups: [0 message, 1 number, 2 since, 3 look_at].
insert into unsettled (message, number, since, looks, look_at, may_resend, lane)
select value->>0, value->>1, value->>2, 0, value->>3, 1, 
       (select a.account from attempts a where a.message = value->>0 and a.number = value->>1)
from jsonb_each(:doubts) where true
on conflict (message) do nothing;
