-- What this process took in by client and minute (:rows JSON array of [client, minute, messages]); older than :since goes.
insert into client_minutes (owner, client, minute, messages)
select :owner, value->>0, value->>1, value->>2 from json_each(:rows) where true
on conflict (client, minute, owner) do update set messages = excluded.messages;
delete from client_minutes where minute < :since;
