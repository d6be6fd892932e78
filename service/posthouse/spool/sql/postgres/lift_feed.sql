-- In another cluster (a dump was restored) transaction numbers begin anew: new events must not sort before old ones.
update feed_base set raised = raised + d.missing
from (select greatest(0, coalesce((select max(feed) from events), 0)
                         - (select raised from feed_base) - pg_current_xact_id()::text::bigint + 1) as missing) d
where d.missing > 0;
