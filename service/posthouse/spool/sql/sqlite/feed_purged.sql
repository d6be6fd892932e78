select purged from feed where only_row = 1;
