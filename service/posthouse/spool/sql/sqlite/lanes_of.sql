-- :accounts JSON array of accounts. Lanes are never deleted, so the ids may be remembered.
insert into lanes (account) select value from json_each(:accounts) where true on conflict (account) do nothing;
select a.value, l.id from json_each(:accounts) a join lanes l on l.account = a.value;
