-- The place of an id in the list, also of one that was purged: the next older one stands for it, and is still to come.
select coalesce(
  (select id from messages where public_id = :public_id),
  (select id from messages where public_id < :public_id order by public_id desc limit 1) + :nudge,
  0
);
