select pg_notify(:channel, :word);
