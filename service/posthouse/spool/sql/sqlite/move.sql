-- Rows of :keys (JSON array) that are queued in :lane, held under :fence, go into the lane :target.
update messages set lane = :target
where id in (select value from json_each(:keys)) and status = 'queued' and lane = :lane
  and exists (select 1 from lanes l where l.id = :lane and l.fence = :fence and l.owner is not null)
  and not exists (select 1 from unsettled u where u.message = messages.id)
returning id;
