"""What a message is: its id, its envelope, its content and the words for its life; imports nothing of the house."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NewType, Protocol

MessageId = NewType("MessageId", str)
"""``msg_`` and 26 Crockford base32 characters of a UUIDv7 (RFC 9562 §5.7): sorts by the time of acceptance."""

Millis = int
"""A point in time: milliseconds since 1970-01-01 UTC."""

ID_PREFIX: Final = "msg_"
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE: Final = {letter: value for value, letter in enumerate(_CROCKFORD)}
_TO_BASE_32: Final = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")
"""From Crockford's digits to those of ``int(…, 32)``, which reads them at C speed."""
_PAIRS: Final = tuple(a + b for a in _CROCKFORD for b in _CROCKFORD)
_ID_BYTES: Final = 16
_ID_LETTERS: Final = 26


def new_id(*, now: Millis, chance: bytes) -> MessageId:
    """The id of a message accepted at ``now``; ``chance`` is 10 random bytes."""
    number = int.from_bytes(chance, "big")
    high = (now << 16) | 0x7000 | (number >> 68 & 0x0FFF)
    low = 0x8000000000000000 | (number & 0x3FFFFFFFFFFFFFFF)
    return id_from_bytes((high << 64 | low).to_bytes(_ID_BYTES, "big"))


def id_from_bytes(raw: bytes) -> MessageId:
    """The written form of the 16 bytes that the spool keeps."""
    number = int.from_bytes(raw, "big")
    pairs = [_PAIRS[number >> shift & 0x3FF] for shift in range(120, -1, -10)]
    return MessageId(ID_PREFIX + "".join(pairs))


def id_bytes(message_id: MessageId) -> bytes:
    """The 16 bytes behind an id that ``parse_id`` or ``new_id`` gave."""
    return int(message_id[len(ID_PREFIX) :].translate(_TO_BASE_32), 32).to_bytes(_ID_BYTES, "big")


def parse_id(text: str) -> MessageId | None:
    """The id that ``text`` writes, as ``msg_…`` or as the UUID behind it; None where it is neither."""
    if text.startswith(ID_PREFIX):
        letters = text[len(ID_PREFIX) :].upper()
        well_formed = len(letters) == _ID_LETTERS and letters[0] in "01234567" and all(x in _VALUE for x in letters)
        return MessageId(ID_PREFIX + letters) if well_formed else None
    digits = text.replace("-", "")
    try:
        return id_from_bytes(bytes.fromhex(digits)) if len(digits) == 2 * _ID_BYTES else None
    except ValueError:
        return None


class Status(StrEnum):
    """Where a message stands; ``scheduled`` and ``deferred`` are views of queued rows, never stored."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    HELD = "held"
    UNCONFIRMED = "unconfirmed"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to the message by itself."""
        return self in FINAL


FINAL: Final = frozenset({Status.SENT, Status.FAILED, Status.EXPIRED, Status.CANCELED})


def shown_status(stored: Status, *, attempts: int, due_at: Millis, now: Millis) -> Status:
    """The status that the outside sees for a stored one."""
    if stored is not Status.QUEUED:
        return stored
    if attempts:
        return Status.DEFERRED
    return Status.SCHEDULED if due_at > now else Status.QUEUED


class Priority(IntEnum):
    """The order inside a lane: a lower number leaves first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class OnUnconfirmed(StrEnum):
    """What the client wants where nobody can know at once whether a send happened (PROMISES §5)."""

    SETTLE = "settle"
    RETRY = "retry"
    HOLD = "hold"


class Kind(StrEnum):
    """Where a recipient stands; ``bcc`` is only in the envelope, in no header."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address of the delivery list."""

    address: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends and who receives, whatever the header says; the null reverse-path is None."""

    sender: str | None
    recipients: tuple[Recipient, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The delivery list."""
        return tuple(recipient.address for recipient in self.recipients)


class Body(Protocol):
    """The part after the blank line: CRLF lines, of known size, read in blocks, as often as wanted."""

    @property
    def size(self) -> int:
        """Bytes in all blocks together."""
        ...

    def blocks(self) -> AsyncIterator[bytes]:
        """The bytes in order."""
        ...

    def span(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to before ``end``, without reading those before them."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """A body that lies in memory."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    async def blocks(self) -> AsyncIterator[bytes]:
        """The whole body at once."""
        yield self.data

    async def span(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The part at once."""
        yield self.data[start:end]


@dataclass(frozen=True, slots=True)
class Content:
    """A complete message of RFC 5322 with CRLF line ends and without Bcc.

    ``header`` ends with one CRLF and has no blank line; the blank line is not part of ``body`` either.
    """

    header: bytes = field(repr=False)
    body: Body

    @property
    def size(self) -> int:
        """Bytes of the whole message, the blank line included."""
        return len(self.header) + 2 + self.body.size


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierDraft:
    """What earlier attempts left in a mailbox's Drafts, by which transport and account; ``id`` only of a complete one.

    A complete draft was about to be sent and certainly was not, or lies there still after a doubt: it is sent again, not
    made anew, for one draft can be sent only once (FACTS A5). After a doubt it is ``pinned``: the message goes no other
    way. Without ``id`` only strays may be there.
    """

    transport: str
    account: str
    id: str | None = None
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the dispatcher needs to know of an accepted message; its content is read apart."""

    key: int
    id: MessageId
    client: str
    lane: int
    account: str
    mailbox: str
    sender: str
    envelope: Envelope
    message_id: str
    own_message_id: bool
    route: tuple[str, ...]
    next_transport: str | None
    priority: Priority
    size: int
    accepted_at: Millis
    due_at: Millis
    expires_at: Millis | None
    gives_up_at: Millis
    attempts: int
    on_unconfirmed: OnUnconfirmed
    accept_duplicate: bool = False
    first_tried_at: Millis | None = None
    draft: EarlierDraft | None = None
    strand: str = ""
    """What it shares with the rows of its lane that can go exactly when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a message's history; ``position`` is its place in the feed, an opaque text (CONTRACT §2.1)."""

    position: str
    message_id: MessageId
    at: Millis
    type: str
    data: Mapping[str, object]
