-- The same data keys under the master :key_id; a row that another process wrapped again meanwhile stays as it is.
update contents c set key_id = :key_id, data_key = i.data_key
from unnest(:ids::bigint[], :befores::text[], :data_keys::bytea[]) i(id, before, data_key)
where c.id = i.id and c.key_id = i.before;
