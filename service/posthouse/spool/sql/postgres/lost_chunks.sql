-- Contents that no message refers to an hour after their upload began: it died with its process.
select c.content from chunks c
where c.n = 0 and c.at < :before and not exists (select 1 from contents x where x.id = c.content) limit 100;
