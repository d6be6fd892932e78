-- How far attempt :number of :message has come with its draft, if that is the attempt under way. A note without an id
-- begins a new draft.
insert into drafts (message, number, state, id, begun, lane)
select m.id, :number, :state::text, :draft::text, 1, a.account
from messages m join attempts a on a.message = m.id and a.number = :number
where m.id = :message and m.attempts = :number and m.status = 'sending' for update of m
on conflict (message) do update set number = excluded.number, state = excluded.state, id = excluded.id,
  lane = excluded.lane, look_at = null, pinned = drafts.pinned and excluded.id is not null,
  begun = drafts.begun + (excluded.id is null)::integer
returning message;
