insert into transports (name, state, until, opened, reason, since)
values (:name, :state, :until, :opened, :reason, :since)
on conflict (name) do update set state = excluded.state, until = excluded.until, opened = excluded.opened,
  reason = excluded.reason, since = excluded.since;
