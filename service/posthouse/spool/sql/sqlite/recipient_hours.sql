-- The recipients of all accounts together, by hours since 1970.
select hour, sum(recipients) from recipient_hours where hour >= :hour group by hour order by hour;
