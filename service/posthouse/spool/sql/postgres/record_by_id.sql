where m.public_id = :public_id
