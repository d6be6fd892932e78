select min(u.look_at) from lanes o join unsettled u on u.lane = o.id where o.owner = :worker and u.look_at is not null;
