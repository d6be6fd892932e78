select version, oldest from schema_version order by version desc limit 1;
