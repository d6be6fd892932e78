-- Nobody accepts or leases while a whole spool is written.
lock table lanes, messages, clients in access exclusive mode;
