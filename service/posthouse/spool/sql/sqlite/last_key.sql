-- The highest key ever given: messages' sequence survives their purge.
select max(
  coalesce((select seq from sqlite_sequence where name = 'messages'), 0),
  coalesce((select max(id) from contents), 0),
  coalesce((select max(content) from chunks), 0)
);
