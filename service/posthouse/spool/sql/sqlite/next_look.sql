select min(look_at) from unsettled where look_at is not null;
