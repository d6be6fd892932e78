-- All of a table, in the order of its key; {table} is one of export.py's names.
select * from {table};
