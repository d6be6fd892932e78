-- What must never be found; a line of two dashes and a rule begins each, its rows are the culprits.
--: a message that was not purged has no content
select m.id from messages m left join contents c on c.id = m.id where c.id is null and m.content_purged_at is null
--: a message that is not final has lost its content
select id from messages where content_purged_at is not null and finished_at is null
--: a content belongs to no message
select c.id from contents c left join messages m on m.id = c.id where m.id is null
--: a content was purged and is still there
select m.id from messages m join contents c on c.id = m.id where m.content_purged_at is not null
--: a content has not all its chunks
select has.id from (
  select c.id, count(k.n) as n, coalesce(max(k.n), -1) as last, (c.body_size + 262143) / 262144 as whole
  from contents c left join chunks k on k.content = c.id where c.location = 'chunks' group by c.id, c.body_size) has
where has.n <> has.whole or has.last <> has.whole - 1
--: a message has no details
select m.id from messages m left join details d on d.message = m.id where d.message is null
--: a message has no recipient
select m.id from messages m where not exists (select 1 from recipients r where r.message = m.id)
--: details belong to no message
select d.message from details d left join messages m on m.id = d.message where m.id is null
--: a recipient belongs to no message
select distinct r.message from recipients r left join messages m on m.id = r.message where m.id is null
--: a tag belongs to no message
select distinct t.message from tags t left join messages m on m.id = t.message where m.id is null
--: an attempt belongs to no message
select distinct a.message from attempts a left join messages m on m.id = a.message where m.id is null
--: a bounce belongs to no message
select distinct b.message from bounces b left join messages m on m.id = b.message where m.id is null
--: an event belongs to no message
select distinct e.message from events e left join messages m on m.id = e.message where m.id is null
--: a message has not as many attempts as it counts
select m.id from messages m where m.attempts <> (select count(*) from attempts a where a.message = m.id)
--: a final message has no end, or one that is not final has one
select id from messages where (status in ('sent', 'failed', 'expired', 'canceled')) <> (finished_at is not null)
--: a sent message has no outcome
select m.id from messages m
where m.status = 'sent' and not exists (
  select 1 from attempts a where a.message = m.id and (a.outcome = 'sent' or a.settled = 'sent'))
--: an unsettled message has no attempt, or is final
select u.message from unsettled u
left join messages m on m.id = u.message left join attempts a on a.message = u.message and a.number = u.number
where a.message is null or m.finished_at is not null
--: an unconfirmed message is not settled by anybody
select m.id from messages m left join unsettled u on u.message = m.id
where m.status = 'unconfirmed' and m.status <> 'sent' and u.message is null
--: a lane with queued messages does not know when it has something to do
select l.id from lanes l
where l.owner is null and l.next_at is null
  and exists (select 1 from messages m where m.lane = l.id and m.status = 'queued')
