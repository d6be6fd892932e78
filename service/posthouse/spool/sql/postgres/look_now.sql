update unsettled set look_at = :at where message = :message;
