-- Queued again; nothing is in doubt any more, all recipients are asked again.
with u as (
  delete from unsettled where message = :message
), r as (
  update recipients set refused = null where message = :message and refused is not null
)
update messages set status = 'queued', due_at = :due_at, held_cause = null, next_transport = null, finished_at = null,
  expires_at = coalesce(:expires_at, expires_at), gives_up_at = coalesce(:gives_up_at, gives_up_at),
  accept_duplicate = accept_duplicate or :accept_duplicate
where id = :message;
