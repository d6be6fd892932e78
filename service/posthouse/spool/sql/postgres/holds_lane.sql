select 1 from lanes where id = :lane and owner = :worker and fence = :fence;
