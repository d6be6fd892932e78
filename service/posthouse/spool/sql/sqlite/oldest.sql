-- When the oldest message of each status but sent was accepted: ids grow with time, and messages_status ends with them.
select f.status, m.accepted_at
from (select status, min(id) as id from messages where status <> 'sent' group by status) f join messages m on m.id = f.id;
