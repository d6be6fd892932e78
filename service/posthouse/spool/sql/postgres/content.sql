select header_size, body_size, location, body from contents where id = :id;
