"""The seams of the house: what the core asks of a spool, a transport, a clock.

Times are ``Millis``; durations are seconds. Every writing verb of a spool returns only after its commit is durable.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from posthouse.continuity import Anchor, Chain
from posthouse.fixes import Fix
from posthouse.identities import ClientRow, Identities, KeyRow, Refusal, Use
from posthouse.message import Body, Content, Event, Message, MessageId, Millis, Priority, Status
from posthouse.outcome import Outcome, RefusedRecipient
from posthouse.records import (
    AddResult,
    Alert,
    AlertRow,
    AttemptRow,
    AuditEntry,
    Bounce,
    Bounced,
    Command,
    CommandResult,
    DraftNote,
    Erased,
    Erasure,
    FeedPage,
    Filters,
    Finish,
    Inbox,
    InboxAsk,
    LaneRow,
    Lease,
    Mark,
    Move,
    Moved,
    NoSight,
    Page,
    Past,
    Pause,
    Post,
    Presence,
    Record,
    SenderBlock,
    Settlement,
    Sharer,
    Sightings,
    Space,
    Stray,
    Submission,
    TenantBounce,
    Told,
    TransportKind,
    TransportRow,
    Unreported,
    Unsettled,
    Way,
    Witness,
)


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> Millis:
        """Wall-clock time, for what is written down."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for durations."""
        ...

    def apart(self) -> Millis:
        """By how much what the machine shows is ahead of this time."""
        ...

    def anchor(self) -> Anchor | None:
        """What another process can tell by whether its time is the same; None where it cannot."""
        ...


class SpoolUnavailableError(Exception):
    """The spool cannot keep mail now (disk full, closed, broken); ``full`` tells storage from the rest."""

    def __init__(self, text: str, *, full: bool = False) -> None:
        super().__init__(text)
        self.full = full


class ContentUnreadableError(Exception):
    """A content is there but cannot be read: changed where it lies, or its master is not at hand; waiting mends nothing."""


class NotBegunError(Exception):
    """A send that was cut, or broken by a fault of ours, before anything of the message had left; its cause says which."""


LATEST: Final = "latest"
"""The cursor of the feed for who wants to hear only of what happens from now on."""

Wake = Callable[[frozenset[int]], None]
"""Called on the event loop after a commit that gave these lanes something to do."""


Cursors = Mapping[tuple[Priority, str], tuple[Millis, int]]
"""How far an owner has taken the rows of each priority and strand of its lane: due time and key of the last one."""

NOTHING_READ: Final[Cursors] = MappingProxyType({})


class Spool(Protocol):
    """The durable store of all of it."""

    async def add(self, submission: Submission) -> AddResult:
        """Keep it durably; raises SpoolUnavailableError."""
        ...

    def store(self, blocks: AsyncIterator[bytes], *, small: bool) -> AbstractAsyncContextManager[Body]:
        """Keep a body durably while it arrives; entering returns when all of it is, and raises what ``blocks`` raises.

        With ``small`` one that fits its message's row may stay in memory until then.

        It belongs to no message until ``add`` takes it, as the body of its only message: what was not added by the
        context's end, or before the process died, is dropped. Raises SpoolUnavailableError.
        """
        ...

    @property
    def token_keys(self) -> Mapping[str, bytes]:
        """What access tokens are signed with, by the id of the master they derive from; the one in force comes first."""
        ...

    def pseudonym(self, address: str) -> str:
        """What stands for an address where it must not: the same for the same one, and only for who has the master."""
        ...

    def on_wake(self, wake: Wake) -> None:
        """Tell ``wake`` from now on."""
        ...

    def on_commit(self, told: Callable[[], None]) -> None:
        """Call ``told`` on the event loop after every commit of this process: the feed may have grown."""
        ...

    async def lease(self, *, owner: str, now: Millis, most: int, running: Collection[int] = ()) -> Sequence[Lease]:
        """Take lanes that have something due and no living owner, and again what ``owner`` holds but does not run."""
        ...

    async def holds(self, *, lane: int, fence: int) -> bool:
        """Whether a lease is still good: after the owner was silent for long, another may have taken the lane."""
        ...

    def lease_left(self) -> float:
        """Seconds for which this process's leases hold at least; infinite where nobody else can take them."""
        ...

    @property
    def look_every(self) -> float | None:
        """Seconds after which a lane's owner looks at its rows again, because others add to them unheard; None: never."""
        ...

    @property
    def hears(self) -> bool:
        """Whether it is told here when another process wakes a lane that has no owner."""
        ...

    async def past(self, *, lanes: Sequence[int], now: Millis) -> Mapping[int, Past]:
        """What the accounts of these lanes used up lately; asked by an owner who was not the last one, and by operators."""
        ...

    async def next_due(self) -> Millis | None:
        """When the next lane without an owner has something to do."""
        ...

    async def peek(self, *, lane: int, now: Millis, most: int, after: Cursors = NOTHING_READ) -> Sequence[Message]:
        """What is due in a lane, by priority, then age: ``most`` rows shared out to its strands, each at least one.

        ``after``: the rows of a strand begin behind this one; it is how an owner does not read again what it took.
        """
        ...

    async def next_in(self, *, lane: int, after: Millis | None = None) -> Millis | None:
        """When the earliest queued row of a lane is due, or the earliest of those that are due later than ``after``."""
        ...

    async def content(self, key: int) -> Content | None:
        """The content; None where it was purged; raises ContentUnreadableError, as its body may later."""
        ...

    async def mark(self, mark: Mark) -> bool:
        """Write ``sending`` and the attempt; False where the row is not queued any more or the fence is old."""
        ...

    async def note_refused(self, *, key: int, number: int, refused: Sequence[RefusedRecipient]) -> None:
        """Write down refused recipients before DATA, so that settling knows them."""
        ...

    async def note_draft(self, *, key: int, number: int, note: DraftNote) -> bool:
        """Write down how far an attempt by draft has come; False where it is not the attempt under way: then it ends."""
        ...

    async def finish(self, finish: Finish) -> bool:
        """Write the outcome; False where a later attempt exists or another has settled it: then it is an event.

        A late success also ends a message that waits to be sent again because nobody knew.
        """
        ...

    async def defer(self, *, key: int, lane: int, due_at: Millis, at: Millis, cause: str) -> None:
        """Put a queued row later without an attempt, for a cause that its history names."""
        ...

    async def hold(self, *, key: int, id: MessageId, at: Millis, cause: str) -> None:  # noqa: A002 - the house's word
        """Hold a queued row that no transport of its route can carry."""
        ...

    async def expire(self, *, now: Millis, most: int) -> int:
        """End queued and held rows whose client's own expiry is over; how many."""
        ...

    async def release(self, *, lane: int, fence: int, now: Millis) -> None:
        """Give a lane back; its ``next_at`` is computed from its rows and pauses."""
        ...

    async def move(self, move: Move) -> Moved:
        """Put queued rows into the lane of another account; only rows of a lane that is held under this fence go.

        Rows that are being sent or are unsettled never move; the lane that gets them is woken.
        """
        ...

    async def pause(self, *, lane: int, pause: Pause) -> None:
        """Pause a lane or one transport of it."""
        ...

    async def resume(self, *, lane: int, transport: str | None, at: Millis) -> None:
        """End a pause; the end of a block is remembered."""
        ...

    async def tell_lane(self, *, account: str, paused: bool, at: Millis, by: str) -> bool:
        """Write down that a person pauses or resumes a lane, audited; False where there is nothing to resume.

        A pause makes the lane where there is none. Resume ends its blocks too, and never a Retry-After.
        """
        ...

    async def spoken(self, *, since: Millis) -> Mapping[int, Told]:
        """What people said about lanes since then, by lane."""
        ...

    async def tell_transport(self, *, name: str, paused: bool, at: Millis, by: str) -> None:
        """Write down that a person pauses or resumes a transport, audited; ``transports`` tells it to the workers."""
        ...

    async def recipient_hours(self, *, since: Millis) -> Sequence[tuple[int, int]]:
        """The recipients of all accounts together by hours since 1970, from the hour of ``since`` on."""
        ...

    async def block_sender(self, block: SenderBlock) -> bool:
        """Hold all queued and future rows of this sender in this mailbox; False where it was blocked before."""
        ...

    async def unblock_sender(self, *, mailbox: str, sender: str, at: Millis) -> None:
        """Delete the block and release its rows in order of age."""
        ...

    async def probe_senders(self, *, now: Millis, next_probe: Millis) -> int:
        """Release the oldest row of every block whose probe is due; how many."""
        ...

    async def save_transport(self, row: TransportRow) -> None:
        """Write down a circuit's or a block's state."""
        ...

    async def transports(self) -> Sequence[TransportRow]:
        """What was written down."""
        ...

    async def anchor(self, anchor: Anchor, *, before: Anchor | None, now: Millis) -> Chain:
        """Hold fast how this process's time lies, by ``continuity``; the chain that it belongs to.

        ``before`` is its anchor of the last time; None at its start, before it writes any other time down.
        """
        ...

    async def turn_back(self, *, now: Millis) -> Millis:
        """At start: by how much the clock was set back, seen by the latest time that was written down.

        What waits by our own reckoning then waits no longer than it was made to.
        """
        ...

    async def recover(self, *, now: Millis, grace: float) -> int:
        """At start: every row a dead process left in ``sending`` is unconfirmed from its deadline plus ``grace``.

        One whose draft was not about to be sent yet is queued again at once: it certainly was not sent.
        """
        ...

    async def free_drafts(self, *, now: Millis, before: Millis, most: int) -> int:
        """Queue again what is held because drafts may not be written and was tried last before ``before``; how many."""
        ...

    async def strays(self, *, now: Millis, after: float, most: int, lanes: Collection[int]) -> Sequence[Stray]:
        """Messages that were final ``after`` seconds ago and may have left drafts, of these lanes, which it holds."""
        ...

    async def next_stray(self, *, lane: int) -> Millis | None:
        """When drafts are looked for in this lane next."""
        ...

    async def swept(self, *, key: int, again_at: Millis | None) -> None:
        """Its drafts were looked for: never again, or at ``again_at``."""
        ...

    async def inboxes(self, ask: InboxAsk) -> Sequence[Inbox]:
        """Mailboxes whose reports are read now, by whoever holds their lanes, or by one alone where nobody does."""
        ...

    async def save_bounces(
        self, inbox: Inbox, *, found: Sequence[Bounce], cursor: str | None, now: Millis, next_at: Millis
    ) -> Sequence[Bounced]:
        """Attach each bounce once to its message, and go on from ``cursor`` at ``next_at``; those that were new.

        Its message is the latest that went out through this account with its Message-ID to that recipient; where only
        one has the Message-ID, whoever the recipient is, for lists and forwarding name others.
        """
        ...

    async def tenant_bounces(self, *, since: Millis) -> Sequence[TenantBounce]:
        """The latest reports since then that refuse the tenant (``fixes.TENANT_CODES``), the latest first."""
        ...

    async def restored(self, *, now: Millis, ways: Mapping[str, Way]) -> int | None:
        """At start of a restored copy, after ``recover``: what was due by ``now`` is in doubt before it is sent.

        How many came into doubt; None where the spool is no copy. ``ways`` are the transports that exist.
        """
        ...

    async def mark_restored(self, *, taken_at: Millis | None) -> Millis:
        """Say that this is a copy, made at that moment or when the last thing happened that it knows of; the moment."""
        ...

    async def recover_lost(self, *, now: Millis, grace: float, live: Collection[int]) -> int:
        """The same in a living process, for rows past their deadline plus ``grace`` that are not in ``live``."""
        ...

    async def free_held(self, *, now: Millis, transports: Collection[str], carrying: Collection[str], most: int) -> int:
        """Queue held rows whose cause is gone; ``carrying`` are transports that take mail with extra header recipients."""
        ...

    async def wake_sleepers(self) -> int:
        """Wake lanes that have something to do and do not know when; how many."""
        ...

    async def unsettled(self, *, now: Millis, most: int, lanes: Collection[int]) -> Sequence[Unsettled]:
        """Rows of these lanes whose next look-up is due."""
        ...

    async def next_look(self, *, lanes: Collection[int]) -> Millis | None:
        """When the next look-up of these lanes is due, for a doubtful message or a fresh witness."""
        ...

    async def look_held(self, *, account: str, cause: str, at: Millis) -> int:
        """Look at ``at`` for what is held for this cause and went out through this account; how many."""
        ...

    async def asks(self, *, now: Millis, most: int, lanes: Collection[int]) -> Sequence[tuple[int, Presence]]:
        """Where a fresh witness is looked for now, by lane."""
        ...

    async def presences(self) -> Sequence[Presence]:
        """Whether copies are found, for every account that was ever asked."""
        ...

    async def presence(self, *, account: str, kind: TransportKind, own: bool) -> Presence | None:
        """The same for one; None where it was never asked."""
        ...

    async def save_presence(self, presence: Presence) -> None:
        """Write it down; its lane wakes at ``ask_at``."""
        ...

    async def slowest(self, *, after: Millis) -> Millis:
        """The slowest appearance seen since ``after``; 0 where none was."""
        ...

    async def witnesses(
        self, *, account: str | None, kind: TransportKind, own: bool, before: Millis, after: Millis, most: int
    ) -> Sequence[Witness]:
        """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
        ...

    async def proven(self) -> AbstractSet[str]:
        """The accounts that have ever sent something."""
        ...

    async def sharing(self, *, account: str, message_id: str) -> Sequence[Sharer]:
        """Every attempt that went out through this account with this Message-ID, or may have."""
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """Write a conclusion; False where the row is settled already."""
        ...

    async def obey(self, command: Command) -> CommandResult:
        """Do what a person asked, under the rules of PROMISES §5."""
        ...

    async def erase(self, erasure: Erasure) -> Erased:
        """Erase what is kept of the final messages to a recipient, but what accounting needs; audited without the address."""
        ...

    async def find(self, filters: Filters, *, now: Millis) -> Page:
        """A page of records."""
        ...

    async def get(self, message_id: MessageId, *, now: Millis) -> Record | None:
        """One record."""
        ...

    async def key_of(self, message_id: MessageId) -> int | None:
        """The spool's own key of a message."""
        ...

    async def ended(self, message_ids: Sequence[MessageId]) -> Mapping[MessageId, Status]:
        """Those of these messages that are final, and how."""
        ...

    async def attempts(self, message_id: MessageId) -> Sequence[AttemptRow]:
        """Every try of a message, oldest first."""
        ...

    async def events(self, message_id: MessageId) -> Sequence[Event]:
        """A message's history, oldest first."""
        ...

    async def feed(self, *, after: str | None, types: Collection[str], client: str | None, most: int) -> FeedPage:
        """Events of all messages, or of one client's, behind a cursor; no ``types`` means all.

        None begins with the oldest that is kept, LATEST with the next to come. Raises ValueError for what is no cursor.
        """
        ...

    async def lanes(self, *, now: Millis, account: str | None = None) -> Sequence[LaneRow]:
        """Every lane that has unfinished rows or a pause, or the one of an account, whatever it has."""
        ...

    async def counts(self) -> Mapping[Status, int]:
        """Messages by stored status."""
        ...

    async def oldest(self) -> Mapping[Status, Millis]:
        """When the oldest message of each stored status but ``sent`` was accepted."""
        ...

    async def space(self) -> Space:
        """How large the spool is, and how much may still be written."""
        ...

    async def see_alerts(self, seen: Sequence[Alert], *, now: Millis, before: Millis, passing: Collection[str]) -> None:
        """What is wrong now: one that is new or worse is told; what nobody has seen since ``before`` has ended.

        The end is told where the alert was, but for those of a key of ``passing``.
        """
        ...

    async def claim_alerts(self, *, now: Millis) -> Sequence[AlertRow]:
        """Those that nobody was told of; who gets them tells, and where he does not, they are due again after a while."""
        ...

    async def alert_told(self, row: AlertRow, *, at: Millis) -> None:
        """Somebody was told; one that has ended is forgotten."""
        ...

    async def alerts(self) -> Sequence[AlertRow]:
        """Those that stand, the oldest first."""
        ...

    async def unreported(self, *, since: Millis, after: int, client: str, most: int) -> Sequence[Unreported]:
        """Failed mail of the SMTP door since then, behind the key ``after``, that no report of ``client`` is about, the oldest first."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Write down who did something; what is done needs this first."""
        ...

    async def save_key(self, key: KeyRow, entry: AuditEntry) -> None:
        """Keep a key, audited; the client is made where there is none."""
        ...

    async def revoke_key(self, key_id: str, *, at: Millis, by: str) -> bool:
        """End a key; False where there is none."""
        ...

    async def identities(self) -> Identities:
        """All keys and all clients that ever had one."""
        ...

    async def save_client(self, client: ClientRow, entry: AuditEntry) -> None:
        """Keep a client's terms and whether it is paused, audited."""
        ...

    async def share_use(self, uses: Sequence[Use], *, owner: str, since: int) -> Sequence[Use]:
        """Write down what this process took in by client and minute since 1970; what others did since that minute."""
        ...

    async def save_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Add to the groups of refusals; the latest MOST_REFUSALS are kept."""
        ...

    async def refusals(self, *, most: int) -> Sequence[Refusal]:
        """The groups, the latest first."""
        ...

    async def used(self, *, key_id: str, at: Millis) -> None:
        """Remember a key's last use."""
        ...

    async def purge(
        self, *, now: Millis, retention: float, content_retention: float, most: int, at_once: Sequence[str] = ()
    ) -> int:
        """Delete finished messages, contents and answers whose time is over; how many rows.

        ``at_once`` are the clients whose content goes as soon as it was sent.
        """
        ...

    async def reseal(self, *, most: int) -> int:
        """After a new master: wrap data keys again that need an earlier one, at most about so many; 0 at the end."""
        ...

    async def writable(self) -> str | None:
        """None where mail can be kept durably, else the reason."""
        ...

    async def close(self) -> None:
        """Write what waits and close; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One send: the message, its content, the attempt's id (GUID) and the recipients that are still to be served.

    ``refuse_deferred`` counts recipients answered 4xx at RCPT as refused (PROMISES §4, after 4 h).
    ``note_refused`` must have returned before DATA, ``note_draft`` before a draft is made, filled and sent; where it
    gives False the attempt is another's by now, and nothing more may be asked of anybody.
    """

    message: Message
    content: Content
    attempt_id: str
    account: str
    refuse_deferred: bool
    note_refused: Callable[[Sequence[RefusedRecipient]], Awaitable[None]]
    note_draft: Callable[[DraftNote], Awaitable[bool]]


class Transport(Protocol):
    """A way out. ``send`` never raises for what a server or network does, never retries, never follows.

    What else it raises leaves doubt, but for NotBegunError.
    """

    @property
    def name(self) -> str:
        """Its name in the settings."""
        ...

    @property
    def kind(self) -> TransportKind:
        """What it speaks."""
        ...

    async def send(self, dispatch: Dispatch) -> Outcome:
        """One try; a cancelled send leaves its connection closed."""
        ...

    async def probe(self) -> bool:
        """Whether the far side lives, by a request that cannot double a mail."""
        ...

    async def close(self) -> None:
        """Close connections; idempotent."""
        ...


class Evidence(Protocol):
    """Looks messages up in the account that sent them."""

    @property
    def name(self) -> str:
        """The transport that it asks by."""
        ...

    async def look_up(self, *, account: str, message_ids: Sequence[str]) -> Sightings | NoSight:
        """One look for at most 15 ids in all folders; never raises for what a server or network does."""
        ...


class Letterbox(Protocol):
    """Reads which mail did not arrive, in the mailbox that sent it; changes nothing there."""

    @property
    def name(self) -> str:
        """The transport that it asks by."""
        ...

    async def read(self, inbox: Inbox) -> Post | NoSight:
        """The reports that came since its cursor, a page at a time; never raises for what a server or network does."""
        ...


class Broom(Protocol):
    """Takes away drafts that nobody will send."""

    async def sweep(self, stray: Stray) -> bool:
        """Delete the drafts of this message but the sent one; False where it must be tried again; never raises."""
        ...


class Diagnosis(Protocol):
    """Turns the key of a fix into words."""

    def fix(self, key: str) -> Fix | None:
        """Class, cause and remedy; None for a key that nobody knows."""
        ...

    def advice(self, fix: str) -> str:
        """What exactly mends it."""
        ...
