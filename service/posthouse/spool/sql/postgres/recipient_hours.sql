-- The recipients of all accounts together, by hours since 1970.
select hour, sum(recipients)::bigint from recipient_hours where hour >= :hour::bigint group by hour order by hour;
