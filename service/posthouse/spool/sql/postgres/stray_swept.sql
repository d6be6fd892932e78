delete from drafts where message = :message;
