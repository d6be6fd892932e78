update unsettled set may_resend = 0 where message = :message;
