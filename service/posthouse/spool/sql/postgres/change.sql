-- What a person changes of a message that is not being sent; NULL keeps what stands.
with d as (
  update details set scheduled_at = :due_at::bigint where message = :message and :due_at::bigint is not null
)
update messages set due_at = coalesce(:due_at::bigint, due_at), priority = coalesce(:priority::smallint, priority),
  expires_at = case when :never_expires::boolean then null else coalesce(:expires_at, expires_at) end,
  gives_up_at = coalesce(:gives_up_at, gives_up_at)
where id = :message;
