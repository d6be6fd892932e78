select c.header_size, c.body_size, c.location, c.key_id, c.data_key, uuid_send(m.public_id), c.body
from contents c join messages m on m.id = c.id where c.id = :id;
