-- The lanes of final messages that have drafts for which nothing is planned yet.
select distinct d.lane from drafts d join messages m on m.id = d.message where d.look_at is null and m.finished_at is not null;
