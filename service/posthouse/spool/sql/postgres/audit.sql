insert into audit (at, by, action, target, data) values (:at, :by, :action, :target, :data::jsonb);
