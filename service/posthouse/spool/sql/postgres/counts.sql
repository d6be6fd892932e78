-- The sent ones, by far the most, are what is left of all; the others are counted in messages_status alone.
with others as (select status, count(*) as n from messages where status <> 'sent' group by status)
select status, n from others
union all
select 'sent', a.n from (select (select count(*) from messages) - (select coalesce(sum(n), 0) from others) as n) a where a.n > 0;
