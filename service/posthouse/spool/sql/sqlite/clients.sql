select name, created_at, paused_at, terms from clients order by name;
