-- What people said about lanes since :since.
select id, told_at, told_paused, told_by from lanes where told_at > 0 and told_at >= :since;
