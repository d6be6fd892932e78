-- Contents that no message refers to an hour after their last chunk came: the upload died with its process.
select c.content from chunks c
where c.n = 0 and c.at < :before and not exists (select 1 from contents x where x.id = c.content)
  and (select max(x.at) from chunks x where x.content = c.content) < :before limit 100;
