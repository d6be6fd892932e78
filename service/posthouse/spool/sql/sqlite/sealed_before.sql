-- Contents of a range of ids whose data key lies under another master than :key_id, with what wrapping is bound to.
select c.id, c.key_id, c.data_key, m.public_id, c.header_size, c.body_size, c.location = 'chunks'
from contents c join messages m on m.id = c.id
where c.id > :after and c.id <= :upto and c.key_id is not null and c.key_id <> :key_id
order by c.id limit :most;
