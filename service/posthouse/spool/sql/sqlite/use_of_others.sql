select client, minute, sum(messages) from client_minutes where owner <> :owner and minute >= :since group by client, minute;
