-- A final status; nothing is in doubt any more.
with u as (delete from unsettled where message = :message)
update messages set status = :status, finished_at = :at, held_cause = null where id = :message;
