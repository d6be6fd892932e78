-- What this process took in by client and minute (:rows JSON array of [client, minute, messages]); older than :since goes.
with over as (
  delete from client_minutes where minute < :since::bigint
)
insert into client_minutes (owner, client, minute, messages)
select :owner, value->>0, (value->>1)::bigint, (value->>2)::bigint from jsonb_array_elements(:rows::jsonb)
on conflict (client, minute, owner) do update set messages = excluded.messages;
