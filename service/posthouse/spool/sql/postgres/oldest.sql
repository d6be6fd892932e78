-- When the oldest message of each status but sent was accepted: public ids grow with time, and messages_status ends with
-- them. The statuses are named, so that the index is asked once for each of them.
select s.status, m.accepted_at
from unnest(array['queued', 'sending', 'held', 'unconfirmed', 'failed', 'expired', 'canceled']) as s (status)
cross join lateral (select accepted_at from messages where status = s.status and status <> 'sent' order by public_id limit 1) m;
