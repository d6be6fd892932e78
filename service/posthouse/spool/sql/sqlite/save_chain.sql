insert into clocks (boot, ahead, since, noted_at) values (:boot, :ahead, :since, :now)
on conflict (boot) do update set ahead = excluded.ahead, since = excluded.since, noted_at = excluded.noted_at;
