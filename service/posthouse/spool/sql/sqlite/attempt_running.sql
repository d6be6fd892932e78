select 1 from messages where id = :message and attempts = :number and status = 'sending';
