update drafts set look_at = :again_at, looked = 1 where message = :message;
