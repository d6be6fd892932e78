select l.account, b.code, b.at from bounces b join lanes l on l.id = b.lane
where b.code = any(:codes::text[]) and b.at >= :since order by b.at desc limit :most;
