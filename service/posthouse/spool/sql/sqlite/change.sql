-- What a person changes of a message that is not being sent; NULL keeps what stands.
update messages set due_at = coalesce(:due_at, due_at), priority = coalesce(:priority, priority),
  expires_at = case when :never_expires then null else coalesce(:expires_at, expires_at) end,
  gives_up_at = coalesce(:gives_up_at, gives_up_at)
where id = :message;
update details set scheduled_at = :due_at where message = :message and :due_at is not null;
