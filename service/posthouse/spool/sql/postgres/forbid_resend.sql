update unsettled set may_resend = false where message = :message;
