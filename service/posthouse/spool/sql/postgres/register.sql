-- A new worker, alive for :seconds by the database's clock.
insert into workers (boot, host, version, sends, started_at, alive_until)
values (:boot, :host, :version, :sends, :at, (extract(epoch from clock_timestamp()) * 1000)::bigint + :millis)
returning id;
