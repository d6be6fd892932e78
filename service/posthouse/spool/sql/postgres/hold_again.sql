-- Not sent, and held as before the doubt; queued where the block that held it is gone.
with u as (
  delete from unsettled where message = :message
), r as (
  update recipients set refused = null where message = :message and refused is not null
), b as (
  select :cause::text = 'sender_blocked' and not exists (
    select 1 from blocks b join messages m on m.mailbox = b.mailbox and m.sender = b.sender where m.id = :message) as gone
)
update messages set status = case when b.gone then 'queued' else 'held' end,
  held_cause = case when b.gone then null else :cause::text end
from b where id = :message;
