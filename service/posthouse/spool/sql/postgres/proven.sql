-- Accounts that have ever sent something: one probe of the index an account, however long its history.
select account from lanes l
where l.proven_at is not null
   or exists (select 1 from attempts a where a.account = l.id and a.kind in ('graph', 'smtp') and a.outcome = 'sent');
