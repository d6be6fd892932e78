-- Queued again; nothing is in doubt any more, all recipients are asked again.
update messages set status = 'queued', due_at = :due_at, held_cause = null, next_transport = null, finished_at = null,
  expires_at = coalesce(:expires_at, expires_at), gives_up_at = coalesce(:gives_up_at, gives_up_at),
  accept_duplicate = max(accept_duplicate, :accept_duplicate)
where id = :message;
delete from unsettled where message = :message;
update recipients set refused = null where message = :message and refused is not null;
