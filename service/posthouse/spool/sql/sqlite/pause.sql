insert into pauses (lane, transport, until, reason, blocked, since, length, asked_until)
values (:lane, :transport, :until, :reason, :blocked, :since, :length, :asked_until)
on conflict (lane, transport) do update
set until = excluded.until, reason = excluded.reason, blocked = excluded.blocked, since = excluded.since,
    length = excluded.length, asked_until = excluded.asked_until;
update lanes set paused_until = :until where id = :lane and :transport = '' and not told_paused;
