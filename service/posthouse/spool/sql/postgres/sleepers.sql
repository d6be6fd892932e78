-- Lanes without an owner that sleep although they have something to do.
select l.id from lanes l
where l.owner is null and l.next_at is null and (
  exists (select 1 from messages m where m.status = 'queued' and m.lane = l.id)
  or exists (select 1 from unsettled u where u.lane = l.id and u.look_at is not null)
  or exists (select 1 from drafts d where d.lane = l.id and d.look_at is not null));
