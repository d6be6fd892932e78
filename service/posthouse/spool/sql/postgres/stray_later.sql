update drafts set look_at = :again_at, looked = true where message = :message;
