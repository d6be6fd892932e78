delete from audit where id in (select id from audit where at <= :before order by at limit :most);
