-- :messages JSON array of ids; one that was queued again meanwhile keeps its content.
delete from contents where id in (
  select m.id from json_each(:messages) e join messages m on m.id = e.value where m.finished_at is not null);
update messages set content_purged_at = :now
where id in (select value from json_each(:messages)) and finished_at is not null;
