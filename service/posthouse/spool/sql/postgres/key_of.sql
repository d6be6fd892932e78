select id from messages where public_id = :public_id;
