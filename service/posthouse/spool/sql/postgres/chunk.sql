select body from chunks where content = :content and n = :n;
