select max(id) from contents;
