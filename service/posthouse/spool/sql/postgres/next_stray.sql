-- When drafts are looked for in a lane next.
select min(d.look_at) from drafts d join messages m on m.id = d.message
where d.lane = :lane and d.look_at is not null and m.finished_at is not null;
