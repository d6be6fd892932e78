-- :messages JSON array of ids, all final and without content. What is lost with them is kept: how far the feed has a
-- gap, and that their accounts have sent something.
update feed set purged = max(purged, coalesce(
  (select max(position) from events where message in (select value from json_each(:messages))), 0));
update lanes set proven_at = :now where proven_at is null and id in (
  select a.account from attempts a where a.message in (select value from json_each(:messages)) and a.outcome = 'sent');
delete from details where message in (select value from json_each(:messages));
delete from recipients where message in (select value from json_each(:messages));
delete from tags where message in (select value from json_each(:messages));
delete from drafts where message in (select value from json_each(:messages));
delete from bounces where message in (select value from json_each(:messages));
delete from attempts where message in (select value from json_each(:messages));
delete from events where message in (select value from json_each(:messages));
delete from messages where id in (select value from json_each(:messages));
