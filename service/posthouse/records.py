"""The records that pass through the seams of the house: what is kept, marked, finished, settled and asked for.

Times are ``Millis``; durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from posthouse.message import (
    Content,
    Envelope,
    Message,
    MessageId,
    Millis,
    OnUnconfirmed,
    Priority,
    Status,
)
from posthouse.outcome import Answer, Outcome

TransportKind = Literal["graph", "smtp"]


# --- accepting ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message that policy let in, complete, as it will be kept."""

    id: MessageId
    client: str
    key_id: str | None
    door: str
    mailbox: str
    account: str
    sender: str
    envelope: Envelope
    subject: str
    reference: str | None
    tags: Mapping[str, str]
    metadata: Mapping[str, object]
    message_id: str
    own_message_id: bool
    route: tuple[str, ...]
    content: Content
    priority: Priority
    accepted_at: Millis
    due_at: Millis
    expires_at: Millis | None
    gives_up_at: Millis
    on_unconfirmed: OnUnconfirmed
    held_cause: str | None = None
    """Set where the message is kept but waits from the start (a paused client)."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's own key for one submission and the SHA-256 of the validated request."""

    client: str
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One to a hundred messages that are kept together or not at all, with the answer that a replay will get."""

    messages: tuple[NewMessage, ...]
    answer: bytes = field(repr=False)
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """Durable now."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same key and request came before: the answer given then; nothing was added."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The same key came before with another request; nothing was added."""


AddResult = Added | Replayed | KeyReused


# --- sending -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pause:
    """A lane (transport None) or one transport of a lane waits until ``until``, for a reason."""

    transport: str | None
    until: Millis
    reason: str
    blocked: bool
    since: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to send for a lane, with what its pace needs to go on: attempt starts of the last 60 s, pauses.

    ``sending`` are the deadlines of what dead owners left on the wire: each counts as in flight until 10 s later.
    """

    lane: int
    account: str
    fence: int
    starts: tuple[Millis, ...]
    pauses: tuple[Pause, ...]
    sending: tuple[Millis, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """``sending``, to be written down before the wire."""

    key: int
    id: MessageId
    lane: int
    fence: int
    number: int
    attempt_id: str
    transport: str
    kind: TransportKind
    account: str
    started_at: Millis
    deadline_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The outcome of one attempt and where the message stands after it."""

    key: int
    id: MessageId
    lane: int
    number: int
    ended_at: Millis
    outcome: Outcome
    status: Status
    due_at: Millis | None = None
    gives_up_at: Millis | None = None
    next_transport: str | None = None
    held_cause: str | None = None
    look_at: Millis | None = None
    event: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderBlock:
    """A sender that may not be sent as from a mailbox until somebody grants it; ``probe_at`` lets the oldest try."""

    mailbox: str
    sender: str
    since: Millis
    probe_at: Millis
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportRow:
    """What must survive a restart of a transport's circuit or block."""

    name: str
    state: Literal["closed", "open", "blocked", "paused"]
    until: Millis
    opened: int
    reason: str
    since: Millis


# --- settling ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A message of which nobody knows yet whether it was sent, and the attempt that left it so."""

    message: Message
    number: int
    transport: str
    kind: TransportKind
    account: str
    started_at: Millis
    since: Millis
    looks: int
    last_absent_at: Millis | None
    may_resend: bool
    held: bool


@dataclass(frozen=True, slots=True)
class Witness:
    """A message known as sent, whose copy proves that absence means something."""

    id: MessageId
    account: str
    message_id: str
    sent_at: Millis


class Verdict(StrEnum):
    """What settling concluded for now."""

    SENT = "sent"
    NOT_SENT = "not_sent"
    HELD = "held"
    LATER = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One conclusion about an unsettled message; ``look_at`` is the next look-up for LATER and HELD."""

    key: int
    id: MessageId
    lane: int
    number: int
    at: Millis
    verdict: Verdict
    looks: int
    absent_at: Millis | None = None
    look_at: Millis | None = None
    due_at: Millis | None = None
    cause: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sightings:
    """An answer 200 of a look-up: for each Message-ID asked, the copies found, as ``isDraft`` flags."""

    found: Mapping[str, tuple[bool, ...]]


@dataclass(frozen=True, slots=True)
class NoSight:
    """The look-up gave no answer that counts; ``answer`` says why and what mends it."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Way:
    """What must be known of a transport to look for what it may have sent; ``account`` None is the mailbox."""

    kind: TransportKind
    account: str | None = None


# --- asking ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list of messages is narrowed by; ``client_only`` is the caller's own client where it may read no other."""

    status: Status | None = None
    sender: str | None = None
    recipient: str | None = None
    subject: str | None = None
    reference: str | None = None
    message_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    client: str | None = None
    door: str | None = None
    transport: str | None = None
    created_after: Millis | None = None
    created_before: Millis | None = None
    after: MessageId | None = None
    before: MessageId | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientState:
    """A recipient and, where the server refused it, the reply."""

    address: str
    kind: str
    refused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One try as written down."""

    number: int
    attempt_id: str
    transport: str
    account: str
    started_at: Millis
    ended_at: Millis | None
    outcome: str | None
    scope: str | None
    status: str | None
    code: str | None
    reply: int | None
    text: str | None
    request_id: str | None
    retry_after: float | None
    receipt: str | None
    fix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A message as clients and operators see it."""

    id: MessageId
    status: Status
    client: str
    door: str
    mailbox: str
    account: str
    sender: str
    subject: str
    reference: str | None
    tags: Mapping[str, str]
    metadata: Mapping[str, object]
    message_id: str
    route: tuple[str, ...]
    transport: str | None
    priority: Priority
    size: int
    created_at: Millis
    due_at: Millis
    expires_at: Millis | None
    finished_at: Millis | None
    attempts: int
    held_cause: str | None
    unsettled: bool
    recipients: tuple[RecipientState, ...]
    erased_at: Millis | None = None
    """When a person's request erased what accounting does not need."""


@dataclass(frozen=True, slots=True)
class Page:
    """Records newest first, and whether older ones follow."""

    records: tuple[Record, ...]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """A lane as operators see it."""

    lane: int
    account: str
    waiting: int
    sending: int
    held: int
    unconfirmed: int
    oldest_due_at: Millis | None
    next_at: Millis | None
    pauses: tuple[Pause, ...]


# --- operating ---------------------------------------------------------------------------------------------------


class Action(StrEnum):
    """What a person may do to a message."""

    CANCEL = "cancel"
    RETRY = "retry"
    RELEASE = "release"
    SETTLE_SENT = "settle_sent"
    SETTLE_NOT_SENT = "settle_not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An action on one message by somebody; ``client`` limits it to that client's own messages."""

    action: Action
    id: MessageId
    at: Millis
    by: str
    client: str | None = None
    accept_duplicate: bool = False
    expires_at: Millis | None = None
    gives_up_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class Obeyed:
    """Done; where the message stands now."""

    status: Status


@dataclass(frozen=True, slots=True)
class NotPossible:
    """Nothing was changed; the rule that forbids it (PROMISES §5)."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoSuchMessage:
    """There is no such message, or it is another client's."""


CommandResult = Obeyed | NotPossible | NoSuchMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A person's request, carried out by somebody; a dry run only counts."""

    recipient: str
    at: Millis
    by: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Erased:
    """How many final messages were erased; those that are not final were left, and the first of them are named."""

    erased: int
    unfinished: int
    unfinished_ids: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A client's key as the spool keeps it: never the key itself, only its SHA-256."""

    id: str
    client: str
    key_hash: bytes = field(repr=False)
    senders: tuple[str, ...]
    recipient_domains: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: Millis
    expires_at: Millis | None
    revoked_at: Millis | None
    last_used_at: Millis | None
