"""What a seed will do: settings, weather, orders, what persons and death do; drawn before anything runs.

Each part has a name and draws from a stream of its own, so that leaving one out (to find the smallest plan that still
fails) changes nothing in the others.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from posthouse.message import OnUnconfirmed, Priority
from tests.simulation.chance import Chance
from tests.simulation.fates import FATES, Share

Route = tuple[str, ...]
LOST_ANSWERS = 0
NEVER = 1e6
CERTAIN_END = 30.0
"""Seconds at the end of a storm in which no new trouble begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """What holds for a whole run: the settings of the service, and how its machine and the world are."""

    disorder: float
    quick: bool
    per_minute: int
    concurrent: int
    route: Route
    login: str | None
    stall: float
    lost_answers: float
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a person does to the message of an order."""

    name: str
    at: float
    act: Literal["cancel", "retry", "retry_twice", "release", "settle", "resume"]
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """When the process dies, or is told to stop; ``second`` seconds later it is told again, and dies."""

    name: str
    at: float
    kind: Literal["crash", "drain"]
    moment: Literal["turn", "before_commit", "after_commit", "on_wire", "answered"] = "turn"
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


Part = Order | Deed | Death | Trouble
CALM: Final[Mapping[str, object]] = {
    "disorder": 0.0,
    "stall": 0.0,
    "lost_answers": 0.0,
    "poison": 0.0,
    "sick_disk": 0.0,
    "storminess": 0.0,
    "slowest_copy": 0.5,
    "rewritten": frozenset(),
    "keeps_nothing": False,
    "blind": 0.0,
    "login": None,
    "per_minute": 0,
    "concurrent": 0,
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

    @property
    def parts(self) -> Iterator[Part]:
        """All that can be left out."""
        yield from (*self.orders, *self.deeds, *self.deaths, *self.troubles)

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
        )


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    climate = _climate(Chance(seed, "climate"))
    chance = Chance(seed, "orders")
    orders = [_order(n, Chance(seed, "order", n), climate) for n in range(chance.randint(4, 24))]
    orders = [_like_another(order, orders[:n], Chance(seed, "like", n)) for n, order in enumerate(orders)]
    chance = Chance(seed, "parts")
    many = chance.one(0, 0, 2, 5)
    deeds = [_deed(n, Chance(seed, "deed", n), climate, orders) for n in range(many)]
    deaths = [_death(n, Chance(seed, "death", n), climate) for n in range(chance.one(0, 1, 1, 2, 4))]
    troubles = [_trouble(n, Chance(seed, "trouble", n), climate, orders) for n in range(chance.one(0, 0, 1, 2, 4))]
    return Plan(
        seed=seed,
        climate=climate,
        orders=tuple(orders),
        deeds=tuple(deeds),
        deaths=tuple(deaths),
        troubles=tuple(troubles),
    )


def _climate(chance: Chance) -> Climate:
    names = tuple(f"box{n}@contoso.com" for n in range(chance.one(1, 1, 2, 3)))
    route: Route = chance.one(("graph", "smtp"), ("graph", "smtp"), ("graph",), ("smtp", "graph"), ("graph", "smtp"))
    rewritten = [(kind, own) for kind in ("graph", "smtp") for own in (True, False)]
    return Climate(
        disorder=chance.one(0.0, 0.0, 0.05, 0.5),
        quick=chance.happens(0.85),
        per_minute=chance.one(0, 3, 6, 30),
        concurrent=chance.one(0, 1, 2, 4, 4),
        route=route,
        login="login@contoso.com" if chance.happens(0.2) else None,
        stall=chance.one(0.0, 0.02, 0.2),
        lost_answers=chance.one(0.0, 0.0, 0.0, 0.05) * LOST_ANSWERS,
        poison=chance.one(0.0, 0.0, 0.1),
        sick_disk=chance.one(0.0, 0.0, 0.03),
        fates={name: share for name, share in FATES.items() if chance.happens(0.4)},
        storminess=chance.one(0.05, 0.2, 0.5, 0.9),
        slowest_copy=chance.one(0.5, 5.0, 40.0),
        rewritten=frozenset(chance.some(rewritten, 0.5)) if chance.happens(0.15) else frozenset(),
        keeps_nothing=chance.happens(0.08),
        blind=chance.one(0.0, 0.0, 0.2),
        mailboxes=names,
        storm=chance.between(60.0, 600.0),
        polls=chance.one(30.0, 120.0, 120.0, NEVER),
    )


def _order(n: int, chance: Chance, climate: Climate) -> Order:
    mailbox = chance.one(*climate.mailboxes)
    alias = chance.randint(0, 1) if chance.happens(0.25) else None
    if alias is not None:
        mailbox = climate.mailboxes[alias % len(climate.mailboxes)]
    scheduled = chance.between(1.0, climate.storm) if chance.happens(0.15) else None
    return Order(
        name=f"order{n}",
        at=chance.between(0.0, climate.storm * 0.8),
        sender=mailbox if alias is None else f"alias{alias}@contoso.com",
        mailbox=mailbox,
        wish=chance.one(*[OnUnconfirmed.SETTLE] * 8, OnUnconfirmed.RETRY, OnUnconfirmed.HOLD),
        priority=chance.one(Priority.NORMAL, Priority.NORMAL, Priority.HIGH, Priority.LOW),
        scheduled=scheduled,
        expires=(scheduled or 0.0) + chance.between(5.0, 300.0) if chance.happens(0.15) else None,
        message_id=f"<client{n}@shop.example>" if chance.happens(0.25) else None,
        transport=chance.one(*climate.route) if chance.happens(0.1) else None,
        recipients=chance.one(1, 1, 1, 2, 3),
        size=chance.one(40, 40, 400, 4000),
        count=chance.one(*[1] * 12, 2, 3),
        twice=chance.happens(0.1),
        patience=chance.one(2.0, 10.0, 30.0),
    )


def _like_another(order: Order, before: list[Order], chance: Chance) -> Order:
    """Smart hosts hand the same Message-ID over more than once."""
    named = [one for one in before if one.message_id is not None and one.count == 1]
    if not named or not chance.happens(0.1):
        return order
    first = chance.one(*named)
    return replace(order, message_id=first.message_id, mailbox=first.mailbox, sender=first.sender, count=1)


def _deed(n: int, chance: Chance, climate: Climate, orders: list[Order]) -> Deed:
    order = chance.one(*orders)
    act = chance.one("cancel", "cancel", "retry", "retry_twice", "release", "settle", "resume")
    return Deed(name=f"deed{n}", at=order.at + chance.often_short(climate.storm * 0.5), act=act, order=order.name)


def _death(n: int, chance: Chance, climate: Climate) -> Death:
    drain = chance.happens(0.3)
    return Death(
        name=f"death{n}",
        at=chance.between(0.0, climate.storm),
        kind="drain" if drain else "crash",
        moment=chance.one("turn", "turn", "before_commit", "after_commit", "on_wire", "answered"),
        count=chance.randint(1, 40),
        down=chance.often_short(90.0),
        second=chance.often_short(25.0) if drain and chance.happens(0.4) else None,
    )


def _trouble(n: int, chance: Chance, climate: Climate, orders: list[Order]) -> Trouble:
    at = chance.between(0.0, climate.storm - CERTAIN_END)
    until = min(at + chance.often_short(climate.storm) + 5.0, climate.storm)
    what = chance.one(
        "outage", "black_hole", "busy", "mailbox_blocked", "sender_blocked", "transport_blocked", "no_right",
        "no_look_up", "throttled", "token_refused", "disk_full",
    )  # fmt: skip
    of = chance.one(*climate.route)
    if what in {"mailbox_blocked", "no_right", "no_look_up", "throttled"}:
        of = chance.one(*climate.mailboxes)
    if what == "sender_blocked":
        order = chance.one(*[one for one in orders if one.sender != one.mailbox], orders[0])
        of = f"{order.mailbox} {order.sender}"
    return Trouble(name=f"trouble{n}", at=at, until=until, what=what, of=of, amount=chance.between(1.0, 120.0))
