-- Whether the server takes writes; true for a standby.
select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on';
