-- What was in doubt already may have gone again after the copy was made: its time begins again. Answers those that are
-- looked for.
with u as (
  update unsettled set since = greatest(since, :now::bigint), looks = 0, last_absent_at = null, any_way = true,
    look_at = case when look_at is not null then :now::bigint end
  returning message, look_at
)
select message from u where look_at is not null;
