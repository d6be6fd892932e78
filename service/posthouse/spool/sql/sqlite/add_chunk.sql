insert into chunks (content, n, body) values (:content, :n, :body);
