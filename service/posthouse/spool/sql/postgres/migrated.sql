insert into schema_version (version, oldest) values (:version, :oldest);
