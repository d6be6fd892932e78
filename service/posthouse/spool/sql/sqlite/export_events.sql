-- All events; their place in the feed stays what it was.
select position as feed, position as id, message, at, type, data from events;
