-- Rows that an older version wrote, which did not know the column.
update unsettled set lane = (select m.lane from messages m where m.id = unsettled.message) where lane is null;
