update messages set status = 'held', held_cause = :cause where id = :message;
