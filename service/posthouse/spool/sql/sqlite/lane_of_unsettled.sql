-- Rows that an older version wrote, which did not know the column.
update unsettled set lane = (
  select a.account from attempts a where a.message = unsettled.message and a.number = unsettled.number)
where lane is null;
