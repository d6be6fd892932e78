"""The tenant that the emulator plays: tokens, mailboxes' Sent Items, what was received, and the counters."""

import hmac
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Final, Literal

from posthouse.sandbox.chaos import Chaos, Rule
from posthouse.sandbox.drawer import IMMUTABLE, Drawer, File
from posthouse.sandbox.limits import Budget, Gauge
from posthouse.sandbox.mime import Mail, with_message_id
from posthouse.sandbox.recorder import Recorder, Violations
from posthouse.sandbox.settings import Settings
from posthouse.sandbox.undeliverable import DELAYED, NDR, SYSTEM, Report, struck, undeliverable

Transport = Literal["graph", "smtp"]
_ITEM_PREFIX: Final = "AAMkAGUwNWY5"
_HEX: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """The names by which clients know the emulator; GUIDs, and the secret that a managed identity shows."""

    tenant_id: str
    client_id: str
    identity_header: str


@dataclass(frozen=True, slots=True)
class Token:
    """An issued access token: for which app and resource, until when (seconds since 1970)."""

    app: str
    resource: str
    issued_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One mail that was accepted: as delivered, and at the same time the copy in Sent Items of ``mailbox``.

    ``files`` are the attachments that came apart from it; those that came by upload sessions are missing in ``mime``.
    """

    number: int
    received_at: float
    mailbox: str
    transport: Transport
    sender: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    mime: bytes
    saved: bool
    files: tuple[File, ...] = ()
    own_id: str | None = None
    drafted_at: float | None = None

    @property
    def created_at(self) -> float:
        """When the copy came to be: with its draft, where it was one."""
        return self.received_at if self.drafted_at is None else self.drafted_at

    @property
    def item_id(self) -> str:
        """The id of the copy in Sent Items; that of its draft where it was an immutable one."""
        return self.own_id or f"{_ITEM_PREFIX}{self.number:016x}="

    @property
    def digest(self) -> str:
        """SHA-256 of the delivered bytes, in hex."""
        return sha256(self.mime).hexdigest()


@dataclass(frozen=True, slots=True)
class Post:
    """One sendMail request and what became of it; ``status`` is the HTTP status, or drop, reset, hang."""

    at: float
    mailbox: str
    message_id: str
    client_request_id: str
    status: str
    accepted: bool


@dataclass(slots=True)
class Counters:
    """How often each thing happened since the start."""

    posts: int = 0
    accepted: int = 0
    tokens_asked: int = 0
    tokens_issued: int = 0
    lookups: int = 0
    inbox_reads: int = 0
    smtp_sessions: int = 0
    smtp_accepted: int = 0
    drafts_made: int = 0
    drafts_deleted: int = 0
    files_posted: int = 0
    sessions: int = 0
    ranges: int = 0
    bytes_uploaded: int = 0
    sends: int = 0
    sends_accepted: int = 0
    posts_by_mailbox: Counter[str] = field(default_factory=Counter)
    posts_by_status: Counter[str] = field(default_factory=Counter)
    lookups_by_status: Counter[str] = field(default_factory=Counter)
    draft_requests: Counter[str] = field(default_factory=Counter)


class World:
    """All that the emulator remembers; ``clock`` gives seconds since 1970, at most ``keep`` mails are kept."""

    def __init__(
        self, *, tenant: Tenant, settings: Settings, keep: int, random: Random, clock: Callable[[], float]
    ) -> None:
        self.tenant = tenant
        self.settings = settings
        self.clock = clock
        self.random = random
        self.counters = Counters()
        self.chaos = Chaos(random)
        self.graph_gauge = Gauge()
        self.smtp_gauge = Gauge()
        self.budget = Budget()
        self.violations = Violations()
        self.recorder = Recorder(self.violations, clock)
        self.tokens: dict[str, Token] = {}
        self.drawer = Drawer()
        self.inboxes: dict[str, list[Report]] = {}
        self.received: deque[Received] = deque()
        self.posts: deque[Post] = deque(maxlen=keep)
        self.simulated: Counter[tuple[str, str]] = Counter()
        self._keep = keep
        self._number = 0
        self._sent: dict[tuple[str, str], list[Received]] = {}
        self._items: dict[tuple[str, str], Received] = {}

    @property
    def faults(self) -> tuple[Rule, ...]:
        """The armed fault rules; assigning replaces them."""
        return self.chaos.rules

    @faults.setter
    def faults(self, rules: Iterable[Rule]) -> None:
        self.chaos.arm(rules)

    def accept(
        self,
        mail: Mail,
        *,
        mailbox: str,
        recipients: Sequence[str],
        transport: Transport,
        saved: bool = True,
        files: tuple[File, ...] = (),
        own_id: str | None = None,
        drafted_at: float | None = None,
    ) -> Received:
        """Take the mail: into the inbox, and into Sent Items of the mailbox where ``saved``."""
        self._number += 1
        self.recorder.accepted(mailbox, recipients=len(recipients))
        message_id, mime = mail.message_id, mail.mime
        if not message_id or self.settings.rewrite_message_ids:
            message_id = f"<{self._number:x}.{self.random.getrandbits(64):016x}@sandbox.prod.outlook.test>"
            mime = with_message_id(mime, message_id)
        received = Received(
            number=self._number,
            received_at=self.clock(),
            mailbox=mailbox,
            transport=transport,
            sender=mail.sender or mailbox,
            recipients=tuple(recipients),
            subject=mail.subject,
            message_id=message_id,
            mime=mime,
            saved=saved,
            files=files,
            own_id=own_id,
            drafted_at=drafted_at,
        )
        self._store(received)
        for recipient, delayed, code in struck(recipients):
            self.report(received, recipient=recipient, code=code, delayed=delayed)
        return received

    def report(self, mail: Received, *, recipient: str, code: str, delayed: bool = False) -> Report:
        """Put a report into the Inbox of the mailbox that sent the mail."""
        at = self.clock()
        arrived = self.inboxes.setdefault(mail.mailbox, [])
        mime = undeliverable(mail.mime, mailbox=mail.mailbox, recipient=recipient, code=code, delayed=delayed, at=at)
        report = Report(
            item_id=f"{IMMUTABLE}{len(arrived):08x}{self.random.getrandbits(96):024x}=",
            mailbox=mail.mailbox,
            received_at=at,
            sender=SYSTEM,
            subject="Undeliverable",
            kind=DELAYED if delayed else NDR,
            mime=mime,
        )
        arrived.append(report)
        return report

    def sent_items(self, mailbox: str, message_ids: Iterable[str] | None = None) -> list[Received]:
        """The mailbox's own copies that are visible by now, those with these Message-IDs or all, newest first."""
        if message_ids is None:
            copies = [one for one in self.received if one.saved and one.mailbox == mailbox]
        else:
            copies = [one for wanted in message_ids for one in self._sent.get((mailbox, wanted), ())]
        return [one for one in reversed(copies) if self._visible(one)]

    def sent_item(self, mailbox: str, item_id: str) -> Received | None:
        """The visible copy of this id in this mailbox, or None."""
        own = self._items.get((mailbox, item_id))
        if own is not None:
            return own if self._visible(own) else None
        number = item_id.removeprefix(_ITEM_PREFIX).removesuffix("=")
        one = self.mail_number(int(number, 16)) if _HEX.fullmatch(number) else None
        mine = one is not None and one.saved and one.mailbox == mailbox and self._visible(one)
        return one if mine else None

    def delete_item(self, mailbox: str, item_id: str) -> bool:
        """Take a copy out of Sent Items; False where there is none. What was delivered stays delivered."""
        copy = self.sent_item(mailbox, item_id)
        if copy is None:
            return False
        self._drop(copy)
        return True

    def is_draft(self, item: Received) -> bool:
        """Whether the copy still lies in Drafts on its way out (FACTS A2)."""
        return self.clock() < item.received_at + self.settings.draft_for

    def mail_number(self, number: int) -> Received | None:
        """The received mail of this number, or None where there is none (any more)."""
        if not self.received:
            return None
        at = number - self.received[0].number
        return self.received[at] if 0 <= at < len(self.received) else None

    def forget_mail(self) -> None:
        """Empty the inbox and all Sent Items; numbers and counters go on."""
        self.received.clear()
        self.inboxes.clear()
        self._sent.clear()
        self._items.clear()

    def smtp_password(self, mailbox: str) -> str:
        """The password of the mailbox for AUTH LOGIN, the same after a restart with the same client secret."""
        key = self.settings.client_secret.encode()
        return hmac.new(key, mailbox.lower().encode(), "sha256").hexdigest()[:24]

    def _visible(self, one: Received) -> bool:
        return self.clock() >= one.received_at + self.settings.appear_after

    def _store(self, one: Received) -> None:
        if len(self.received) >= self._keep:
            self._drop(self.received.popleft())
        self.received.append(one)
        if one.saved:
            self._sent.setdefault((one.mailbox, one.message_id), []).append(one)
        if one.own_id is not None:
            self._items[one.mailbox, one.own_id] = one

    def _drop(self, one: Received) -> None:
        self._items.pop((one.mailbox, one.item_id), None)
        copies = self._sent.get((one.mailbox, one.message_id))
        if one.saved and copies:
            copies.remove(one)
            if not copies:
                del self._sent[one.mailbox, one.message_id]
