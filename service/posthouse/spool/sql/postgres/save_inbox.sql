insert into inboxes as i (lane, transport, cursor, next_at) values (:lane, :transport, :cursor, :next_at)
on conflict (lane, transport) do update set cursor = coalesce(excluded.cursor, i.cursor), next_at = excluded.next_at;
