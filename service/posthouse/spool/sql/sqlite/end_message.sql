-- A final status; nothing is in doubt any more.
update messages set status = :status, finished_at = :at, held_cause = null where id = :message;
delete from unsettled where message = :message;
