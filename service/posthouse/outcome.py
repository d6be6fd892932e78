"""What one attempt led to: a closed set of values that the transports give and delivery reads."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

UNKNOWN: Final = "unknown"


class Scope(StrEnum):
    """How far an answer reaches."""

    MESSAGE = "message"
    SENDER = "sender"
    MAILBOX = "mailbox"
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered, in words that may be shown: no hosts, no secrets, no content.

    ``status`` is an enhanced status code (RFC 3463), ``code`` Microsoft's own code or the name of the fault,
    ``reply`` the HTTP status or SMTP reply code (None below the protocol), ``retry_after`` seconds,
    ``fix`` a key of ``fixes.py``.
    """

    status: str
    text: str
    code: str = UNKNOWN
    reply: int | None = None
    request_id: str | None = None
    retry_after: float | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedRecipient:
    """A recipient that the server refused at RCPT, with its reply code, enhanced status and text."""

    address: str
    reply: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Microsoft took responsibility (Graph 202, SMTP 250 after DATA); ``refused`` did not get it."""

    answer: Answer
    receipt: str | None = None
    refused: tuple[RefusedRecipient, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransientFailure:
    """Certainly not sent; trying again later may succeed."""

    scope: Scope
    answer: Answer
    at_once: bool = False
    refused: tuple[RefusedRecipient, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PermanentFailure:
    """Certainly not sent, and trying again cannot help."""

    scope: Scope
    answer: Answer
    refused: tuple[RefusedRecipient, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Certainly not sent until an administrator acts; nothing is lost meanwhile."""

    scope: Scope
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """The request left and nobody can know what became of it."""

    answer: Answer
    scope: Scope = field(default=Scope.TRANSPORT)


Outcome = Sent | TransientFailure | PermanentFailure | Blocked | Unconfirmed


def name_of(outcome: Outcome) -> str:
    """The word that the spool, the API and the metrics use for a kind of outcome."""
    return _NAMES[type(outcome)]


def scope_of(outcome: Outcome) -> Scope | None:
    """The scope; a success has none."""
    return None if isinstance(outcome, Sent) else outcome.scope


_NAMES: Final[dict[type, str]] = {
    Sent: "sent",
    TransientFailure: "transient_failure",
    PermanentFailure: "permanent_failure",
    Blocked: "blocked",
    Unconfirmed: "unconfirmed",
}
