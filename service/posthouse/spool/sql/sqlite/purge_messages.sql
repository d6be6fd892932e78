-- :messages JSON array of ids, all final and without content.
delete from details where message in (select value from json_each(:messages));
delete from recipients where message in (select value from json_each(:messages));
delete from tags where message in (select value from json_each(:messages));
delete from drafts where message in (select value from json_each(:messages));
delete from attempts where message in (select value from json_each(:messages));
delete from events where message in (select value from json_each(:messages));
delete from messages where id in (select value from json_each(:messages));
