-- Rows whose client's own expiry is over, the longest first; the second column says whether one is unsettled.
select m.id, u.message is not null
from messages m left join unsettled u on u.message = m.id
where m.expires_at <= :now and m.status in ('queued', 'held', 'unconfirmed') and (u.message is null or u.may_resend)
order by m.expires_at limit :most;
