-- The same for somebody who does not hold the lane.
select id from lanes where id = :lane for update;
