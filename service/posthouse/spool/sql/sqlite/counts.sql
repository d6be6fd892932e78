select status, count(*) from messages group by status;
