-- What a person changes of a message that is not being sent; NULL keeps what stands.
update messages set due_at = coalesce(:due_at, due_at), priority = coalesce(:priority::smallint, priority),
  expires_at = case when :never_expires::boolean then null else coalesce(:expires_at, expires_at) end,
  gives_up_at = coalesce(:gives_up_at, gives_up_at)
where id = :message;
