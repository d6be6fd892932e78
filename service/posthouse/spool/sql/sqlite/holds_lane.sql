select 1 from lanes where id = :lane and fence = :fence and owner is not null;
