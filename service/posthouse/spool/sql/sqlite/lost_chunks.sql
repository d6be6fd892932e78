-- Contents that no message ever referred to: their upload died with its process.
select distinct content from chunks where content not in (select id from contents);
