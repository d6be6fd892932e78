"""What the SMTP door answers: codes of RFC 5321 §4.2.3 with the enhanced ones of RFC 3463 before the text (RFC 2034)."""

import re
from typing import Final

from posthouse.doors.problems import smtp_of
from posthouse.refusal import Condition, Refused

DOOR: Final = "smtp"

OK: Final = "250 2.0.0 OK"
GO_AHEAD: Final = "354 End data with <CR><LF>.<CR><LF>"
LOGGED_IN: Final = "235 2.7.0 Authentication successful"
READY_FOR_TLS: Final = "220 2.0.0 Ready to start TLS"
NOT_LOGGED_IN: Final = "530 5.7.0 Authentication required: user anything, password a key of posthouse"
WRONG_KEY: Final = "The password is not a valid key of this service"
NO_CLEAR_LOGIN: Final = "538 5.7.11 Encryption is required to log in: STARTTLS first"
TOO_OFTEN: Final = "421 4.7.0 Too many failed logins, closing"
TOO_MANY: Final = "421 4.7.0 Too many connections from this address"
NOT_HEARD: Final = "554 5.7.1 This listener hears other networks than yours"
NO_PROXY: Final = "421 4.7.0 This listener is for a load balancer with the PROXY protocol, and you are none of its"
HELLO_FIRST: Final = "503 5.5.1 Send EHLO first"
NO_MAIL: Final = "503 5.5.1 Send MAIL FROM first"
NO_RECIPIENT: Final = "554 5.5.1 No valid recipients"
LOGGED_IN_ALREADY: Final = "503 5.5.1 Already authenticated"
TLS_ALREADY: Final = "503 5.5.1 TLS is active already"
NO_TLS: Final = "502 5.5.1 This listener has no certificate"
UNKNOWN_MECHANISM: Final = "504 5.5.4 AUTH is PLAIN or LOGIN here"
BAD_RESPONSE: Final = "501 5.5.2 The response is not a user and a password in base64"
BAD_HELLO: Final = "501 5.5.4 EHLO names the client"
BAD_DATA: Final = "501 5.5.4 DATA takes no parameter"
BAD_SENDER: Final = "501 5.1.7 The reverse-path is <> or an address (RFC 5321 4.1.2)"
BAD_RECIPIENT: Final = "501 5.1.3 A recipient is an address (RFC 5321 4.1.2)"
NEEDS_UTF8: Final = "553 5.6.7 An address with other than ASCII needs SMTPUTF8 (RFC 6531)"
CLOSING: Final = "421 4.3.2 The service is stopping; nothing more is taken on this connection"
FAULT: Final = "451 4.3.0 A fault of posthouse; nothing was accepted, send it again"
FAULT_INSIDE: Final = "421 4.3.0 A fault of posthouse; nothing was accepted, send it again"
"""In the middle of a message: what is left of it must not be read as commands."""
STORAGE: Final = "452 4.3.1 The spool cannot be written now; nothing was accepted, send it again"

_LONGEST: Final = 400
"""Octets of our text: a reply line has at most 512 (RFC 5321 §4.5.3.1.5)."""
_REPLY: Final = re.compile(r"([245]\d\d)([ -])(?!\d\.\d{1,3}\.\d{1,3} )(.*)", re.DOTALL)
_CLASSES: Final = {
    "221": "2.0.0",
    "250": "2.0.0",
    "252": "2.5.0",
    "421": "4.4.2",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "552": "5.3.4",
    "553": "5.1.3",
    "554": "5.5.0",
    "555": "5.5.4",
}
"""The enhanced code where aiosmtpd gives none."""


def refusal(refused: Refused) -> str:
    """The reply to a submission that was refused."""
    detail = WRONG_KEY if refused.condition is Condition.INVALID_KEY else refused.detail
    return f"{smtp_of(refused.condition)} {_plain(detail)}"


def enhanced(reply: str) -> str:
    """The same reply with an enhanced code."""
    found = _REPLY.fullmatch(reply)
    if found is None or found[1] not in _CLASSES:
        return reply
    return f"{found[1]}{found[2]}{_CLASSES[found[1]]} {found[3]}"


def _plain(text: str) -> str:
    """One line of printable ASCII that fits."""
    line = text.encode("ascii", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in line)[:_LONGEST]
