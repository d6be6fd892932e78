-- Wait for everybody who is adding to the lane; the next statement then sees what they added (SPOOL §6.2).
select id from lanes where id = :lane and owner = :worker and fence = :fence for update;
