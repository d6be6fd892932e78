-- Hours that no day counts any more.
delete from recipient_hours where hour < :hour;
