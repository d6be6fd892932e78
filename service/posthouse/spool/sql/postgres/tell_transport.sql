-- A person pauses or resumes a transport, also one of which nothing was written down yet; told_at only grows.
insert into transports (name, state, until, opened, reason, since, told_at, told_paused, told_by)
values (:name, 'closed', 0, 0, '', 0, :at, :paused, :by)
on conflict (name) do update set told_at = greatest(transports.told_at + 1, excluded.told_at),
  told_paused = excluded.told_paused, told_by = excluded.told_by;
