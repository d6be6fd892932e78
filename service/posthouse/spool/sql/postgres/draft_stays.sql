-- Settling saw (or did not see) the draft that was about to be sent: it alone is sent again, or a new one is made.
update drafts set state = case when :stays then 'submitted' else 'missing' end, pinned = :stays
where message = :message and state <> 'begun';
