select current_setting('server_version_num')::integer, current_setting('fsync'), current_setting('full_page_writes'),
       pg_is_in_recovery(), current_setting('server_encoding'), current_setting('synchronous_commit');
