-- What was in doubt already may have gone again after the copy was made: its time begins again.
update unsettled set since = max(since, :now), looks = 0, last_absent_at = null, any_way = 1,
  look_at = case when look_at is not null then :now end
returning message;
