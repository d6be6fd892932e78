insert into clients (name, created_at, paused_at, terms) values (:name, :created_at, :paused_at, :terms::jsonb)
on conflict (name) do update set paused_at = excluded.paused_at, terms = excluded.terms;
