-- What nobody was told of, what passes by itself, and ends that could not be told for long.
delete from alerts where ended_at < :long_ago::bigint or seen_at < :before::bigint and ended_at is null
  and (told_at is null or key in (select value from jsonb_array_elements_text(:passing::jsonb)));
