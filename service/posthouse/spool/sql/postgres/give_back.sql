-- Attempts that certainly sent nothing do not count for their account's day: arrays of one element an attempt.
insert into recipient_hours (account, hour, recipients)
select a.account, a.started_at / 3600000, -sum(a.recipients)
from unnest(:messages::bigint[], :numbers::integer[]) e(message, number)
join attempts a on a.message = e.message and a.number = e.number
group by 1, 2 order by 1, 2
on conflict (account, hour) do update set recipients = recipient_hours.recipients + excluded.recipients;
