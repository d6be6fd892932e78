-- What a person asked for: of final messages only what accounting needs is left. :messages JSON array of ids.
delete from contents where id in (
  select m.id from json_each(:messages) e join messages m on m.id = e.value where m.finished_at is not null);

update messages set erased_at = :at, content_purged_at = coalesce(content_purged_at, :at)
where id in (select value from json_each(:messages)) and finished_at is not null;

update details set subject = '', reference = null, message_id = 'erased', tags = '{}', metadata = '{}'
where message in (select m.id from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at);

delete from tags
where message in (select m.id from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at);

update recipients set address = 'erased', refused = case when refused is not null then 'erased' end
where message in (select m.id from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at);

update attempts set text = null, receipt = null
where message in (select m.id from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at);

delete from bounces
where message in (select m.id from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at);

-- Words of servers may name an address: only what is counted stays.
update events set data = (
  select json_group_object(d.key, d.value) from json_each(events.data) d
  where d.key in ('attempt', 'attempt_id', 'transport', 'outcome', 'scope', 'status', 'code', 'reply', 'door', 'cause', 'verdict', 'by'))
where message in (select m.id from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at);

insert into events (message, at, type, data)
select m.id, :at, 'message.erased', json_object('by', :by)
from json_each(:messages) e join messages m on m.id = e.value where m.erased_at = :at;
