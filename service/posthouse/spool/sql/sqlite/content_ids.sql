select id from contents where id > :after order by id limit :most;
