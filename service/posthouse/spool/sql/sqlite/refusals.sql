select door, source, login, client, sender, code, detail, first_at, last_at, times from refusals
order by last_at desc, door, source, login, client, sender, code limit :most;
