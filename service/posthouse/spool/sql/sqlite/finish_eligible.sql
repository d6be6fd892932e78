-- What may be done with the outcomes :ends (arrays in the order of loads.finish: 0 message, 1 number, 2 ended_at,
-- 3 outcome, 21 attempt id or NULL): for each
--  'none' where this attempt was never written down (its mark failed),
--  'apply' where its attempt is the last one and nobody knows the end yet; a late Sent also ends a message that waits to
--  be sent again because nobody knew,
--  'again' where just this outcome was written before (its commit's answer was lost), else 'late'.
select json_group_array(
  case
    when a.message is null then 'none'
    when m.attempts = e.value->>1 and (
        m.status = 'sending' or (e.value->>3 <> 'unconfirmed' and u.number = e.value->>1)
        or (e.value->>3 = 'sent' and m.status in ('queued', 'held') and a.outcome = 'unconfirmed'))
      then 'apply'
    when a.ended_at = e.value->>2 and a.outcome = e.value->>3 then 'again'
    else 'late'
  end)
from jsonb_each(:ends) e
left join messages m on m.id = e.value->>0
left join unsettled u on u.message = m.id
left join attempts a on a.message = e.value->>0 and a.number = e.value->>1
  and (e.value->>21 is null or a.attempt_id = e.value->>21);
