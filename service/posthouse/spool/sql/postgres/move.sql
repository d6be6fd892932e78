-- Rows of :keys that are queued in :lane, which is locked, go into the lane :target.
update messages set lane = :target
where id = any(:keys::bigint[]) and status = 'queued' and lane = :lane
  and not exists (select 1 from unsettled u where u.message = messages.id)
returning id;
