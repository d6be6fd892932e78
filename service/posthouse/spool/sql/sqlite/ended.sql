-- :public_ids JSON array of ids in hex.
select m.public_id, m.status from json_each(:public_ids) e join messages m on m.public_id = unhex(e.value)
where m.finished_at is not null;
