"""What a client is told about a message that was taken: where it stands, which way it goes, what will be changed."""

from dataclasses import dataclass, field

from posthouse.message import MessageId, Millis, Status
from posthouse.reckoning import Standing
from posthouse.ways import Way


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that Exchange will change, said in advance."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a client is told about an accepted message."""

    id: MessageId
    status: Status
    created_at: Millis
    reference: str | None
    mailbox: str
    route: tuple[str, ...]
    ways: tuple[Way, ...]
    size: int
    standing: Standing
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Durable now (or, in a dry run, fit to be)."""

    receipts: tuple[Receipt, ...]
    answer: bytes = field(repr=False)
