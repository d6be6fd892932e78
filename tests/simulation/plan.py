"""What a seed will do: settings, weather, orders, what persons and death do; drawn before anything runs.

Each part has a name, so that it can be left out to find the smallest plan that still fails.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from posthouse.message import OnUnconfirmed, Priority
from posthouse.records import TransportKind
from tests.simulation.fates import Share

Route = tuple[str, ...]
LOGIN = "login@contoso.com"
"""The account of the transport ``relay``, which is SMTP with a login of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """What holds for a whole run: the settings of the service, and how its machine and the world are."""

    disorder: float
    quick: bool
    per_minute: int
    concurrent: int
    per_day: int
    tenant_per_day: int
    uploads: int
    """Bytes in five minutes, as base64."""
    own_pace: Mapping[str, int]
    """Messages a minute of transports that have limits of their own."""
    sender_pace: int
    shared: bool
    """Whether the second alias goes out by all mailboxes, each message by the one that can send it first."""
    route: Route
    stall: float
    poison: float
    sick_disk: float
    fates: Mapping[str, Share]
    storminess: float
    slowest_copy: float
    rewritten: frozenset[tuple[str, bool]]
    keeps_nothing: bool
    blind: float
    mailboxes: tuple[str, ...]
    storm: float
    polls: float
    """Seconds after which the service looks again for what nobody told it."""
    late_jump: float
    """Seconds by which somebody sets the clock when all else is calm again."""

    @property
    def paced_sender(self) -> str:
        """The sender with a pace of its own, where there is one."""
        return "alias1@contoso.com"

    @property
    def smtp(self) -> Route:
        """Those of the transports that speak SMTP."""
        return tuple(name for name in self.route if kind_of(name) == "smtp")

    @property
    def quota(self) -> int:
        """Recipients of a day, the tightest of the limits; 0: no limit."""
        return min((one for one in (self.per_day, self.tenant_per_day) if one), default=0)

    def account(self, transport: str, mailbox: str) -> str:
        """Whose lane a message of this mailbox lies in when it goes by this transport."""
        return LOGIN if transport == "relay" else mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a client wants sent; times are seconds from the beginning, ``scheduled`` and ``expires`` from ``at``."""

    name: str
    at: float
    sender: str
    mailbox: str
    wish: OnUnconfirmed = OnUnconfirmed.SETTLE
    priority: Priority = Priority.NORMAL
    scheduled: float | None = None
    expires: float | None = None
    message_id: str | None = None
    transport: str | None = None
    recipients: int = 1
    size: int = 40
    count: int = 1
    twice: bool = False
    patience: float = 10.0
    witness: bool = False


Act = Literal[
    "cancel", "retry", "retry_twice", "release", "settle", "resume", "pause", "pause_transport", "resume_transport",
    "postpone", "hurry", "shorten", "never_expires", "priority",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a person does to the message of an order."""

    name: str
    at: float
    act: Act
    order: str
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """When the process dies, or is told to stop; ``second`` seconds later it is told again, and dies."""

    name: str
    at: float
    kind: Literal["crash", "drain"]
    moment: Literal["turn", "before_commit", "after_commit", "sync", "on_wire", "answered"] = "turn"
    """``sync``: a commit whose fate nobody learns; the process says so, until a person kills it."""
    count: int = 1
    down: float = 1.0
    second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong for a while, until it passes or an administrator mends it."""

    name: str
    at: float
    until: float
    what: Literal[
        "outage", "black_hole", "busy", "mailbox_blocked", "sender_blocked", "transport_blocked", "no_right",
        "no_look_up", "throttled", "token_refused", "disk_full", "clock",
    ]  # fmt: skip
    of: str = ""
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A copy is taken; later the machine is lost, and the copy takes the spool's place."""

    name: str
    taken: float
    at: float
    down: float
    backup: bool
    """By ``spool backup``; else a snapshot of the disk that a person marks by ``spool restored``."""


Part = Order | Deed | Death | Trouble | Restore
CALM: Final[Mapping[str, object]] = {
    "disorder": 0.0,
    "stall": 0.0,
    "poison": 0.0,
    "sick_disk": 0.0,
    "storminess": 0.0,
    "slowest_copy": 0.5,
    "rewritten": frozenset(),
    "keeps_nothing": False,
    "blind": 0.0,
    "per_minute": 0,
    "concurrent": 0,
    "per_day": 0,
    "tenant_per_day": 0,
    "uploads": 0,
    "own_pace": {},
    "sender_pace": 0,
    "shared": False,
    "late_jump": 0.0,
}
PLAIN: Final[Mapping[str, object]] = {
    "wish": OnUnconfirmed.SETTLE,
    "priority": Priority.NORMAL,
    "scheduled": None,
    "expires": None,
    "message_id": None,
    "transport": None,
    "recipients": 1,
    "size": 40,
    "count": 1,
    "twice": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of it."""

    seed: int
    climate: Climate
    orders: tuple[Order, ...]
    deeds: tuple[Deed, ...]
    deaths: tuple[Death, ...]
    troubles: tuple[Trouble, ...]
    restores: tuple[Restore, ...]

    @property
    def parts(self) -> Iterator[Part]:
        """All that can be left out."""
        yield from (*self.orders, *self.deeds, *self.deaths, *self.troubles, *self.restores)

    @property
    def names(self) -> Iterator[str]:
        """What ``without`` takes: parts, wishes of orders that are not plain, whims of the climate."""
        yield from (part.name for part in self.parts)
        yield from (f"climate:{name}" for name, calm in CALM.items() if getattr(self.climate, name) != calm)
        for order in self.orders:
            yield from (f"{order.name}:{name}" for name, plain in PLAIN.items() if getattr(order, name) != plain)

    def without(self, names: Collection[str]) -> "Plan":
        """The same plan, some parts, wishes and whims left out."""
        calm = {name: value for name, value in CALM.items() if f"climate:{name}" in names}
        plain = {
            order.name: {name: value for name, value in PLAIN.items() if f"{order.name}:{name}" in names}
            for order in self.orders
        }
        return replace(
            self,
            climate=replace(self.climate, **calm),
            orders=tuple(replace(one, **plain[one.name]) for one in self.orders if one.name not in names),
            deeds=tuple(one for one in self.deeds if one.name not in names and one.order not in names),
            deaths=tuple(one for one in self.deaths if one.name not in names),
            troubles=tuple(one for one in self.troubles if one.name not in names),
            restores=tuple(one for one in self.restores if one.name not in names),
        )


def kind_of(transport: str) -> TransportKind:
    """What a transport speaks."""
    return "graph" if transport.startswith("graph") else "smtp"
