-- A part of one content's chunks, so that no transaction grows large (SPOOL §7): 64 chunks are 16 MB. Nothing goes
-- while a content refers to them.
delete from chunks where content = :content and n in (
  select n from chunks where content = :content order by n limit 64
) and not exists (select 1 from contents where id = :content) returning n;
