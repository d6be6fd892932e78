-- The first of 256 keys that nobody else gets.
select nextval('message_keys');
