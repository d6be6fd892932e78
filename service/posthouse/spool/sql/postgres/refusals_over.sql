-- The latest :most groups stay.
delete from refusals where last_at < (select last_at from refusals order by last_at desc limit 1 offset :most::bigint - 1);
