update lanes set owner = null where owner is not null and owner <> :owner;
