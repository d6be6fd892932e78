insert into chunks (content, n, at, body) values (:content, :n, :at, :body) on conflict (content, n) do nothing;
