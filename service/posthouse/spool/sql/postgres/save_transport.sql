insert into transports (name, state, until, opened, reason, since, block_ended_at)
values (:name, :state, :until, :opened, :reason, :since, :block_ended_at)
on conflict (name) do update set state = excluded.state, until = excluded.until, opened = excluded.opened,
  reason = excluded.reason, since = excluded.since, block_ended_at = excluded.block_ended_at;
