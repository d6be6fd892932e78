select client, minute, sum(messages)::bigint from client_minutes where owner <> :owner and minute >= :since::bigint group by client, minute;
