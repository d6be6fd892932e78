-- Every message with this Message-ID of which an attempt through this account reached the wire, or may have.
select uuid_send(m.public_id), m.status from details d join messages m on m.id = d.message
where d.message_id = :message_id and exists (
  select 1 from attempts a
  where a.message = m.id and a.account = (select id from lanes where account = lower(:account))
    and (a.outcome is null or a.outcome = 'sent' or (a.outcome = 'unconfirmed' and coalesce(a.settled, '') <> 'not_sent'))
);
