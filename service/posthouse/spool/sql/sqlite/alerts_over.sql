-- What nobody was told of, what passes by itself, and ends that could not be told for long.
delete from alerts where ended_at < :long_ago or seen_at < :before and ended_at is null
  and (told_at is null or key in (select value from json_each(:passing)));
