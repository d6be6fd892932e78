delete from clocks where noted_at < :before and boot <> :boot;
