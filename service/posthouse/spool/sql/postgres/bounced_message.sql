-- The message that a report is about: of those that went out through the account :lane with its Message-ID, or may have, the
-- latest to this recipient; where there is only one, whoever the recipient is. With the recipient as the message has it; one that a
-- server refused at once is told already.
with went as (
  select m.id, m.public_id,
         (select r.address from recipients r where r.message = m.id and lower(r.address) = any(:addresses::text[]) order by r.position limit 1) as recipient,
         count(*) over () as others
  from details d join messages m on m.id = d.message
  where d.message_id = :message_id and exists (
    select 1 from attempts a where a.message = m.id and a.account = :lane and (
      a.outcome is null or a.outcome = 'sent' or (a.outcome = 'unconfirmed' and coalesce(a.settled, '') <> 'not_sent')))
    and not exists (select 1 from recipients r where r.message = m.id and r.refused is not null and lower(r.address) = any(:addresses::text[]))
)
select id, uuid_send(public_id), recipient from went
where recipient is not null or others = 1
order by recipient is null, id desc limit 1;
