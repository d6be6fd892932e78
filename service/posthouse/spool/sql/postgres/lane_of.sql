select id from lanes where account = :account;
