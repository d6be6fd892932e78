"""The words of smtp.office365.com (FACTS D1, D4), by situation and by code."""

import logging
from collections.abc import Mapping
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

LOG: Final = logging.getLogger(__name__)

HOSTNAME: Final = "SB0PR01CA0001.sandbox.prod.outlook.test"
CONCURRENT: Final = (
    "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."
)
UNAUTHENTICATED: Final = f"535 5.7.3 Authentication unsuccessful [{HOSTNAME}]"
WRONG_PASSWORD: Final = f"535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [{HOSTNAME}]"
DISABLED: Final = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the {}. "
    f"Visit https://aka.ms/smtp_auth_disabled for more information. [{HOSTNAME}]"
)
NOT_AUTHENTICATED: Final = f"530 5.7.57 Client not authenticated to send mail. [{HOSTNAME}]"
SEND_AS_DENIED: Final = (
    "554 5.2.252 SendAsDenied; {0} not allowed to send as {1}; STOREDRV.Submission.Exception:SendAsDeniedException."
    "MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message "
    "[BeginDiagnosticData]Cannot submit message.[EndDiagnosticData]"
)
QUOTA: Final = (
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to "
    "a permanent exception with message [BeginDiagnosticData]The message can't be submitted because the sender's "
    f"submission quota was exceeded.[EndDiagnosticData] [Hostname={HOSTNAME}]"
)
TOO_FAST: Final = f"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname={HOSTNAME}]"
TEXTS: Final[Mapping[str, str]] = {
    "421": "421 4.3.2 The maximum number of concurrent connections per resource forest has exceeded a limit, closing transmission channel",
    "432": CONCURRENT,
    "450": "450 4.7.1 Access denied, please try again later",
    "451": "451 4.7.0 Temporary server error. Please try again later. PRX2",
    "452": "452 4.3.1 Insufficient system resources",
    "530": NOT_AUTHENTICATED,
    "535": UNAUTHENTICATED,
    "550": "550 5.1.8 Access denied, bad outbound sender",
    "552": "552 5.3.4 Message size exceeds fixed maximum message size",
    "554": "554 5.2.2 mailbox full",
}
WORDS: Final[Mapping[str, str]] = {
    "552 Error: message size exceeds fixed maximum message size": "552 5.3.4 Message size exceeds fixed maximum message size",
    "503 Error: nested MAIL command": "503 5.5.2 Sender already specified",
    "503 Error: need MAIL command": "503 5.5.2 Need mail command",
    "503 Error: send HELO first": "503 5.5.2 Send hello first",
    "553 5.1.3 Error: malformed address": "501 5.1.3 Invalid address",
}


class Replies:
    """What aiosmtpd asks for the words of its replies."""

    async def handle_MAIL(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the sender."""
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the recipient."""
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Recipient OK"

    async def handle_RSET(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        """The words for RSET."""
        return "250 2.0.0 Resetting"

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        """The words for QUIT."""
        return "221 2.0.0 Service closing transmission channel"

    async def handle_exception(self, error: Exception) -> str:
        """A client that does not trust our certificate is no fault of ours; all else is."""
        if not isinstance(error, TLSSetupException):
            LOG.error("smtp session failed", exc_info=error)
        return "451 4.7.0 Temporary server error. Please try again later."
