"""What the REST door answers (CONTRACT §2.1), as far as commands read it."""

from typing import Any, Generic, TypedDict, TypeVar

Item = TypeVar("Item")


class Cause(TypedDict):
    """Why something waits, and what mends it."""

    cause: str
    advice: str


class Fix(TypedDict):
    """What mends a failure."""

    key: str
    advice: str


Diagnosis = TypedDict(
    "Diagnosis",
    {
        "key": str | None,
        "class": str | None,
        "cause": str | None,
        "fix": str,
        "code": str | None,
        "text": str | None,
        "request_id": str | None,
    },
)
"""Why a message is not sent, and what mends it."""


class Attempt(TypedDict):
    """One try."""

    number: int
    transport: str
    account: str
    started_at: str
    ended_at: str | None
    outcome: str | None
    code: str | None
    reply: int | None
    text: str | None
    request_id: str | None
    fix: Fix | None


class Recipient(TypedDict):
    """One address of the envelope."""

    address: str
    kind: str
    refused: str | None


class Bounce(TypedDict):
    """Whom a sent message did not reach, as Exchange reported later."""

    recipient: str
    at: str
    diagnosis: Diagnosis


Message = TypedDict(
    "Message",
    {
        "id": str,
        "status": str,
        "client": str,
        "door": str,
        "mailbox": str,
        "from": str,
        "subject": str,
        "reference": str | None,
        "message_id": str,
        "route": list[str],
        "transport": str | None,
        "size": int,
        "created_at": str,
        "scheduled_at": str | None,
        "next_attempt_at": str | None,
        "expires_at": str | None,
        "finished_at": str | None,
        "held": Cause | None,
        "diagnosis": Diagnosis | None,
        "bounces": list[Bounce],
        "unsettled": bool,
        "erased_at": str | None,
        "recipients": list[Recipient],
        "attempts": list[Attempt],
    },
)
"""A message; ``attempts`` only where it was asked for alone."""


class Event(TypedDict):
    """One line of a message's history."""

    position: str
    type: str
    at: str
    message: str
    data: dict[str, Any]
    diagnosis: Diagnosis | None


class Feed(TypedDict):
    """Events of all messages; ``next`` goes on as ``after``."""

    data: list[Event]
    has_more: bool
    next: str
    gap: bool


class WaitsFor(TypedDict):
    """Why the first message of a lane does not leave now."""

    reason: str
    until: str | None
    advice: str


class Pause(TypedDict):
    """Why a lane waits; ``until`` null: for a person."""

    transport: str | None
    until: str | None
    reason: str
    advice: str
    blocked: bool


class Lane(TypedDict):
    """What waits for an account."""

    account: str
    waiting: int
    sending: int
    held: int
    unconfirmed: int
    next_at: str | None
    waits_for: WaitsFor | None
    pauses: list[Pause]


class Transport(TypedDict):
    """A way out."""

    name: str
    kind: str
    state: str
    until: str | None
    reason: Cause | None


class Credential(TypedDict):
    """What the service shows to others, until when it is good, and why it is not there."""

    kind: str
    name: str
    expires_at: str | None
    reason: Diagnosis | None


class Alert(TypedDict):
    """Something that is wrong or will be soon, and what mends it."""

    key: str
    subject: str
    text: str
    cause: str
    fix: str
    raised_at: str
    told_at: str | None


class Told(TypedDict):
    """Whether a channel of [alerts] took a test."""

    channel: str
    told: bool
    error: str | None


class Verdict(TypedDict):
    """Whether mail flows, in one sentence, and what else there is to know."""

    flows: bool
    sentence: str
    also: list[str]


class LaneCounts(TypedDict):
    """Lanes with mail, mail that is due, lanes that are paused."""

    waiting: int
    due: int
    paused: int


class Status(TypedDict):
    """How all of it stands."""

    verdict: Verdict
    messages: dict[str, int]
    oldest_due_at: str | None
    lanes: LaneCounts
    transports: list[Transport]
    credentials: list[Credential]
    alerts: list[Alert]


class Key(TypedDict):
    """A key without its secret."""

    id: str
    client: str
    kind: str
    senders: list[str]
    networks: list[str]
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewKey(Key, total=False):
    """A key at the only moment when it is shown; a device has a user and a password."""

    key: str
    user: str
    password: str


class ClientShape(TypedDict):
    """A client and its terms."""

    name: str
    created_at: str | None
    paused_at: str | None
    settings: bool
    rate_per_minute: int | None
    rate_per_day: int | None
    over_rate: str | None
    max_message_bytes: int | None
    rewrite_from: str | None
    priority: str | None
    expire_after: float | None
    on_unconfirmed: str | None
    content: str | None
    tags: dict[str, str]


class RefusalShape(TypedDict):
    """Who was refused, how often, and what mends it."""

    door: str
    source: str | None
    login: str | None
    client: str | None
    sender: str | None
    code: str
    detail: str
    fix: str
    times: int
    first_at: str
    last_at: str


class Notice(TypedDict):
    """What Exchange will change."""

    code: str
    detail: str


class Receipt(TypedDict):
    """An accepted message."""

    id: str
    status: str
    warnings: list[Notice]


class Erased(TypedDict):
    """What was erased at a person's request, and what was left because it is not final."""

    erased: int
    unfinished: int
    unfinished_ids: list[str]
    dry_run: bool


class Listing(TypedDict, Generic[Item]):
    """A list; ``next`` goes on as ``after``."""

    data: list[Item]
    has_more: bool
    next: str | None
