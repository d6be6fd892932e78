-- The columns of a table and their types.
select column_name::text, data_type::text from information_schema.columns
where table_schema = current_schema() and table_name = :table_name order by ordinal_position;
