"""The reports that Exchange puts into the Inbox of whoever sent to ``bounced@simulator.test``: RFC 3464 in its own words.

``bounced+5.7.232@simulator.test`` chooses the code; ``delayed@simulator.test`` gets a report that it takes longer.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

SYSTEM: Final = "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@sandbox.outlook.test"
"""The address that Exchange Online's own reports come from."""
NDR: Final = "REPORT.IPM.Note.NDR"
DELAYED: Final = "REPORT.IPM.Note.Delayed"
"""What Exchange calls such messages (MS-OXOMSG section 2.2.2.1)."""

_ADDRESS: Final = re.compile(r"(bounced|delayed)(?:\+([245]\.\d{1,3}\.\d{1,3}))?@simulator\.test", re.IGNORECASE)
_UNKNOWN: Final = "5.1.10"
_WORDS: Final = {
    _UNKNOWN: "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    "5.2.2": "STOREDRV.Deliver.Exception:QuotaExceededException; mailbox full",
    "5.4.1": "Recipient address rejected: Access denied.",
    "5.4.300": "Message expired -> 451 4.4.0 DNS query failed",
    "5.7.1": "RESOLVER.RST.NotAuthorized; not authorized",
    "5.7.232": "Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients",
    "5.7.26": "This mail has been blocked because the sender is unauthenticated.",
}
_HEADER: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A message in the Inbox of a mailbox; ``kind`` is its PidTagMessageClass."""

    item_id: str
    mailbox: str
    received_at: float
    sender: str
    subject: str
    kind: str
    mime: bytes


def struck(recipients: Iterable[str]) -> Iterator[tuple[str, bool, str]]:
    """The recipients of whom a report comes: address, whether it is only a delay, code."""
    for recipient in recipients:
        match = _ADDRESS.fullmatch(recipient)
        if match:
            delayed = match[1].lower() == "delayed"
            yield recipient, delayed, match[2] or ("4.4.7" if delayed else _UNKNOWN)


def undeliverable(mime: bytes, *, mailbox: str, recipient: str, code: str, delayed: bool, at: float) -> bytes:
    """The report about this mail as it was delivered."""
    words = f"{'450' if code.startswith('4') else '550'} {code} {_WORDS.get(code, 'Access denied')}"
    head = _HEADER.split(mime, maxsplit=1)[0].decode("utf-8", "replace").replace("\r\n", "\n")
    text = f"""From: Microsoft Outlook <{SYSTEM}>
To: <{mailbox}>
Date: {formatdate(at, usegmt=True)}
Subject: {"Delivery delayed" if delayed else "Undeliverable"}: mail to {recipient}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="report"
Auto-Submitted: auto-replied

--report
Content-Type: multipart/alternative; boundary="words"

--words
Content-Type: text/plain; charset="us-ascii"

{"Delivery is delayed" if delayed else "Your message couldn't be delivered"} to these recipients: {recipient}
--words
Content-Type: text/html; charset="us-ascii"

<p>{"Delivery is delayed" if delayed else "Your message couldn't be delivered"}.</p>
--words--

--report
Content-Type: message/delivery-status

Reporting-MTA: dns;SANDBOX0001.EURPRD01.PROD.OUTLOOK.TEST
Received-From-MTA: dns;SANDBOX0002.EURPRD01.PROD.OUTLOOK.TEST
Arrival-Date: {formatdate(at, usegmt=True)}

Final-Recipient: rfc822;{recipient}
Action: {"delayed" if delayed else "failed"}
Status: {code}
Diagnostic-Code: smtp;{words}

--report
Content-Type: message/rfc822

{head}

--report--
"""
    return text.replace("\n", "\r\n").encode()
