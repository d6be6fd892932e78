update drafts set look_at = :again_at where message = :message;
