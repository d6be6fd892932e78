-- How far attempt :number of :message has come with its draft, if that is the attempt under way. A note without an id
-- begins a new draft.
insert into drafts (message, number, state, id, begun)
select id, :number, :state, :draft, 1 from messages where id = :message and attempts = :number and status = 'sending'
on conflict (message) do update set number = excluded.number, state = excluded.state, id = excluded.id,
  pinned = pinned and excluded.id is not null, begun = begun + (excluded.id is null);
