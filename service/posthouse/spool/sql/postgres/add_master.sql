insert into masters (key_id, since) values (:key_id, :at) on conflict (key_id) do nothing;
