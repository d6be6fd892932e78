"""The records that pass through the seams of the house: what is kept, marked, finished, settled and asked for.

Times are ``Millis``; durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from posthouse.message import (
    Content,
    Envelope,
    Event,
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
    paced: bool = False
    """Its sender has a pace of its own."""
    traceparent: str | None = None
    """The span of its submission, to which those of its attempts link; None where nobody follows."""

    @property
    def strand(self) -> str:
        """What it shares with the messages that can go exactly when it can: client, route, and a sender with a pace.

        A lane's owner reads some rows of every strand, so that none hides another (SPOOL §2).
        """
        parts = [self.client, ",".join(self.route)]
        return "\n".join([*parts, self.sender] if self.paced else parts)


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
    """A lane (transport None) or one transport of a lane waits until ``until``, for a reason.

    ``length`` is what it was made for, should the clock be set back; a block keeps the time ``since`` when it stands.
    ``asked_until``: until when Microsoft asked to wait, where a block or a used day makes the pause longer than that.
    """

    transport: str | None
    until: Millis
    reason: str
    blocked: bool
    since: Millis
    length: Millis = 0
    asked_until: Millis = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person last said about a lane or a transport: pause, until somebody says resume; ``at`` 0: nothing yet."""

    at: Millis = 0
    paused: bool = False
    by: str = ""


SILENCE: Final = Told()
"""Nobody has spoken."""


@dataclass(frozen=True, slots=True)
class Start:
    """An attempt that counts for the pace: when it ended (None: nobody knows), by what, how urgent, as whom."""

    at: Millis | None
    transport: str
    high: bool
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What an account used up lately, as written down.

    ``starts`` of the last 60 s; ``uploads`` of the last 5 minutes as their end and bytes on the wire, gathered to 10 s;
    ``hours`` since 1970 with their recipients, of the last 25; ``alive``: until when requests of a former owner that
    nobody saw end may still be under way, and so count for the lane's slots (PROMISES §7).
    """

    starts: tuple[Start, ...] = ()
    alive: tuple[Millis, ...] = ()
    uploads: tuple[tuple[Millis, int], ...] = ()
    hours: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to send for a lane, with what stands in its way; what it used up lately is asked for apart.

    ``block_ended_at`` is when its latest block ended, 0 where there was none.
    """

    lane: int
    account: str
    fence: int
    pauses: tuple[Pause, ...] = ()
    block_ended_at: Millis = 0
    told: Told = SILENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Rows that shall lie in the lane of another account, whose transport their next attempt uses (PROMISES §7).

    ``most``: how many rows may wait there, the moved ones included; 0 means no limit.
    """

    keys: tuple[int, ...]
    lane: int
    fence: int
    account: str
    transport: str
    most: int
    at: Millis


@dataclass(frozen=True, slots=True)
class Moved:
    """The rows that lie there now; ``shut_until`` where the lane took not all: it is paused for that transport."""

    keys: tuple[int, ...]
    shut_until: Millis | None = None


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
    recipients: int = 0
    wire_bytes: int = 0
    """What it takes of the account's day and of its uploads (Graph only)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The outcome of one attempt and where the message stands after it.

    With ``attempt_id`` it is bound to that very attempt: nothing is written where another has its number, or none.
    ``next_account``: whose lane the row goes into where its next attempt uses another account, unless that is paused.
    """

    key: int
    id: MessageId
    lane: int
    number: int
    attempt_id: str | None = None
    ended_at: Millis
    outcome: Outcome
    status: Status
    due_at: Millis | None = None
    gives_up_at: Millis | None = None
    next_transport: str | None = None
    next_account: str | None = None
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
    block_ended_at: Millis = 0
    told: Told = SILENCE


class DraftState(StrEnum):
    """How far an attempt has come that sends by a draft."""

    BEGUN = "begun"
    """Certainly not sent, whatever happens now: the draft is being made or filled."""
    SUBMITTED = "submitted"
    """About to be sent: from here on only an answer tells."""
    MISSING = "missing"
    """It was asked to be sent, and is not there under its id: sent before, or deleted."""


@dataclass(frozen=True, slots=True)
class DraftNote:
    """What an attempt writes down of its draft; ``id`` None before the draft is made."""

    state: DraftState
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A final message that may have left drafts in a mailbox; ``sent`` is the id of the one that became its mail.

    ``again``: it was looked for in vain before.
    """

    key: int
    id: MessageId
    account: str
    transport: str
    message_id: str
    sent: str | None
    again: bool


# --- settling ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A message of which nobody knows yet whether it was sent, and the attempt that left it so.

    ``since`` is the attempt's seen end, else its deadline and 10 s; ``held`` the cause where it is held; ``lane`` that of
    the account which the attempt used: its owner looks. ``draft`` is the id of the draft that this attempt was about to
    send, None where there was none; with ``strays`` the message may have others, which nobody sends. ``any_way``: a copy
    of the spool was restored, and it may have gone by any transport of its route since.
    """

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
    held: str | None
    lane: int
    draft: str | None = None
    strays: bool = False
    any_way: bool = False


@dataclass(frozen=True, slots=True)
class Witness:
    """A message known as sent, whose copy proves that absence means something."""

    id: MessageId
    account: str
    message_id: str
    sent_at: Millis
    transport: str


class ProofLevel(StrEnum):
    """What shows that a mailbox keeps copies under our Message-IDs: nothing, a look-up, or drafts of our own."""

    NONE = "none"
    LOOK_UP = "look_up"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether an account's copies are found, for one kind of transport and origin of Message-ID (``own``: ours).

    ``ask_at`` is when a fresh witness is looked for, None where none is due before something is sent; ``answer`` says
    why the last look proved nothing.
    """

    account: str
    kind: TransportKind
    own: bool
    level: ProofLevel = ProofLevel.NONE
    witness: Witness | None = None
    proved_at: Millis | None = None
    asked_at: Millis | None = None
    ask_at: Millis | None = None
    answer: str | None = None


class Verdict(StrEnum):
    """What settling concluded for now."""

    SENT = "sent"
    NOT_SENT = "not_sent"
    HELD = "held"
    LATER = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One conclusion about an unsettled message; ``look_at`` is the next look-up for LATER and HELD.

    ``gives_up_at`` is the new default expiry of one that goes again; ``took`` how long a copy took to appear that an
    earlier look-up had not found; ``draft_stays``: it was not sent, and its draft is there to be sent again.
    """

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
    gives_up_at: Millis | None = None
    took: Millis | None = None
    cause: str | None = None
    draft_stays: bool = False
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy in a mailbox; it came to be ``between`` these times of our own clock, None where nothing says when."""

    draft: bool
    between: tuple[Millis, Millis] | None = None


@dataclass(frozen=True, slots=True)
class Sharer:
    """An attempt that reached the wire, or may have: its message, where that stands, when its first attempt began."""

    id: MessageId
    status: Status
    began: Millis


@dataclass(frozen=True, slots=True)
class Sightings:
    """An answer 200 of a look-up: for each Message-ID asked, the copies found.

    ``by_id`` says by the immutable id of each copy whether it is a draft.
    """

    found: Mapping[str, tuple[Copy, ...]]
    by_id: Mapping[str, bool] = field(default_factory=dict)

    @property
    def sent(self) -> frozenset[str]:
        """The Message-IDs of which a copy has left Drafts."""
        return frozenset(
            message_id for message_id, copies in self.found.items() if not all(copy.draft for copy in copies)
        )


@dataclass(frozen=True, slots=True)
class NoSight:
    """The look-up gave no answer that counts; ``answer`` says why and what mends it."""

    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """What a report says of one recipient: ``addresses`` are those by which it knows it, ``report`` is the report's own id."""

    report: str
    message_id: str
    addresses: tuple[str, ...]
    code: str | None
    reply: int | None
    text: str | None
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """A mailbox whose reports are to be read, by this transport, and where the last look ended; it has sent since ``since``.

    The cursor is Microsoft's own link with its state: shown to nobody.
    """

    lane: int
    account: str
    transport: str
    since: Millis
    cursor: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxAsk:
    """Which mailboxes: those that sent since ``since`` by a transport of ``readers``, each read by the one named there.

    Where somebody else could read them too, they are this one's until ``until``.
    """

    now: Millis
    since: Millis
    until: Millis
    readers: Mapping[str, str]
    most: int


@dataclass(frozen=True, slots=True)
class Post:
    """Some reports of a mailbox, where to go on, and whether more wait there now."""

    bounces: tuple[Bounce, ...]
    cursor: str = field(repr=False)
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """A message that did not reach a recipient, as was reported later."""

    id: MessageId
    recipient: str
    code: str | None
    fix: str


@dataclass(frozen=True, slots=True)
class TenantBounce:
    """A report that the tenant, not the mail, is refused: from which mailbox, with which code, when it was read."""

    mailbox: str
    code: str
    at: Millis


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
class Report:
    """What Exchange reported after it had taken the message: whom it did not reach, and why."""

    recipient: str
    at: Millis
    code: str | None
    reply: int | None
    text: str | None
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreported:
    """Mail of the SMTP door that failed, wholly or for some recipients, and whose sender was not told yet."""

    key: int
    id: MessageId
    reverse_path: str
    finished_at: Millis


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
class LastAnswer:
    """What the latest attempt that ended was answered."""

    code: str | None
    reply: int | None
    text: str | None
    request_id: str | None
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
    last: LastAnswer | None = None
    bounces: tuple[Report, ...] = ()
    """Whom it did not reach, as was reported later."""


@dataclass(frozen=True, slots=True)
class Page:
    """Records newest first, and whether older ones follow."""

    records: tuple[Record, ...]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent:
    """An event of any message, with what its client gave the message to be told by."""

    event: Event
    client: str
    reference: str | None
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Events in the order of commits; ``next`` goes on from here, whether or not there was any.

    ``gap`` says that history between the cursor that was given and these events is gone, or began anew.
    """

    events: tuple[FeedEvent, ...]
    next: str
    has_more: bool
    gap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlogged:
    """Queued rows of one client and priority in a lane, and how many of them are due."""

    priority: Priority
    client: str
    count: int
    due: int
    oldest_due_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """A lane as operators see it."""

    lane: int
    account: str
    sending: int
    held: int
    unconfirmed: int
    next_at: Millis | None
    pauses: tuple[Pause, ...]
    backlog: tuple[Backlogged, ...] = ()
    told: Told = SILENCE

    @property
    def waiting(self) -> int:
        """Queued rows of all clients."""
        return sum(one.count for one in self.backlog)

    @property
    def oldest_due_at(self) -> Millis | None:
        """When the row that waits longest was or will be due."""
        return min((one.oldest_due_at for one in self.backlog), default=None)


@dataclass(frozen=True, slots=True)
class Space:
    """The bytes that the spool takes, and those that are free under it; None where that cannot be seen from here."""

    taken: int
    free: int | None


CredentialKind = Literal["token", "app_certificate", "client_secret", "listener_certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What the service shows to others: a transport's token or certificate, a listener's certificate.

    ``name`` is the transport or the listener; ``expires_at`` None where there is none now, and ``answer`` then says why.
    """

    kind: CredentialKind
    name: str
    expires_at: Millis | None
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that is wrong or will be soon: ``key`` is that of its fix, ``subject`` tells it from others of that key.

    ``level`` rises where it gets worse, and then it is told again; it is not told by way of its own ``transports`` and
    ``mailboxes``, as far as there are others.
    """

    key: str
    subject: str
    text: str
    level: int = 1
    transports: tuple[str, ...] = ()
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An alert as it is kept: since when it stands, whether it has ended, when somebody was told of that."""

    alert: Alert
    raised_at: Millis
    ended_at: Millis | None
    told_at: Millis | None


# --- operating ---------------------------------------------------------------------------------------------------


class Action(StrEnum):
    """What a person may do to a message."""

    CANCEL = "cancel"
    RETRY = "retry"
    RELEASE = "release"
    CHANGE = "change"
    SETTLE_SENT = "settle_sent"
    SETTLE_NOT_SENT = "settle_not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a CHANGE sets; None keeps what stands. ``never_expires`` takes the client's own expiry away."""

    due_at: Millis | None = None
    expires_at: Millis | None = None
    never_expires: bool = False
    priority: Priority | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An action on one message by somebody; ``client`` limits it to that client's own messages.

    ``owner`` is the client that acts, where it is one: what it changes of its own is no matter for the audit.
    """

    action: Action
    id: MessageId
    at: Millis
    by: str
    client: str | None = None
    owner: str | None = None
    accept_duplicate: bool = False
    expires_at: Millis | None = None
    gives_up_at: Millis | None = None
    change: Change | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what, and when (CONTRACT §3)."""

    at: Millis
    by: str
    action: str
    target: str
    data: Mapping[str, object] = field(default_factory=dict)


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
