-- The next try asks all recipients again. :messages JSON array.
update recipients set refused = null
where message in (select value from json_each(:messages)) and refused is not null;
