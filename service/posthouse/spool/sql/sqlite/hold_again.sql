-- Not sent, and held as before the doubt; queued where the block that held it is gone.
delete from unsettled where message = :message;
update recipients set refused = null where message = :message and refused is not null;
update messages set
  status = case when :cause = 'sender_blocked' and not exists (
    select 1 from blocks b where b.mailbox = messages.mailbox and b.sender = messages.sender) then 'queued' else 'held' end,
  held_cause = case when :cause = 'sender_blocked' and not exists (
    select 1 from blocks b where b.mailbox = messages.mailbox and b.sender = messages.sender) then null else :cause end
where id = :message;
