update attempts set settled = :verdict where message = :message and number = :number;
