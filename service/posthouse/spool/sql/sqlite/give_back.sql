-- Attempts that certainly sent nothing do not count for their account's day. :attempts JSON array of [message, number].
update recipient_hours set recipients = recipient_hours.recipients - s.recipients
from (select a.account, a.started_at / 3600000 as hour, sum(a.recipients) as recipients
      from json_each(:attempts) e join attempts a on a.message = e.value->>0 and a.number = e.value->>1
      group by 1, 2) s
where recipient_hours.account = s.account and recipient_hours.hour = s.hour;
