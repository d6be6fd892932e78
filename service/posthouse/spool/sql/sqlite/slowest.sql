select max(took) from appearances where at > :after;
