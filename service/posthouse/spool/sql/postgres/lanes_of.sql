-- Make the lanes of :accounts where there is none; lanes are never deleted, so that their ids may be remembered.
with made as (
  insert into lanes (account) select x from unnest(:accounts::text[]) x order by x
  on conflict (account) do nothing returning account, id
)
select account, id from made
union
select l.account, l.id from lanes l where l.account = any(:accounts::text[]);
