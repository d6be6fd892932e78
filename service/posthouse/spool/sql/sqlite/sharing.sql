-- Every attempt through this account of a message with this Message-ID that reached the wire, or may have.
-- No copy of a message is older than its first attempt: what one attempt left in Drafts, another may send.
select m.public_id, m.status, (select min(f.started_at) from attempts f where f.message = m.id)
from details d join messages m on m.id = d.message join attempts a on a.message = m.id
where d.message_id = :message_id and a.account = (select id from lanes where account = :account)
  and (a.outcome is null or a.outcome = 'sent' or (a.outcome = 'unconfirmed' and coalesce(a.settled, '') <> 'not_sent'));
