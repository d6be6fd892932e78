insert into events (message, at, type, data) values (:message, :at, :type, :data);
