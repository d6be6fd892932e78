-- A part of one content's chunks, so that no transaction grows large (SPOOL §7); 64 chunks are 16 MB.
delete from chunks where rowid in (select rowid from chunks where content = :content limit 64);
