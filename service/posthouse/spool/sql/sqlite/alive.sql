-- A write that changes nothing but is as durable as any other.
update workers set version = version where id = :worker;
