"""Draws the plan of a seed: each part from a stream of its own, so that leaving one out changes nothing in the others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from posthouse.message import OnUnconfirmed, Priority
from tests.simulation.chance import Chance
from tests.simulation.fates import FATES
from tests.simulation.plan import Act, Climate, Death, Deed, Order, Plan, Restore, Route, Trouble

NEVER: Final = 1e6
HOUR: Final = 3600.0
CERTAIN_END: Final = 30.0
"""Seconds at the end of a storm in which no new trouble begins."""


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    climate = _climate(Chance(seed, "climate"))
    chance = Chance(seed, "orders")
    orders = [
        _order(n, Chance(seed, "order", n), climate) for n in range(chance.randint(3, 10 if climate.quota else 16))
    ]
    orders = [_like_another(order, orders[:n], Chance(seed, "like", n)) for n, order in enumerate(orders)]
    chance = Chance(seed, "parts")
    deeds = [_deed(n, Chance(seed, "deed", n), climate, orders) for n in range(chance.one(0, 0, 2, 5))]
    deaths = [_death(n, Chance(seed, "death", n), climate) for n in range(chance.one(0, 1, 1, 2, 4))]
    troubles = [_trouble(n, Chance(seed, "trouble", n), climate, orders) for n in range(chance.one(0, 0, 1, 2, 4))]
    troubles += [_set_clock(n, Chance(seed, "clock", n), climate) for n in range(chance.one(*[0] * 5, 1, 2))]
    restores = [_restore(Chance(seed, "restore"), climate)] if chance.happens(0.08) else []
    return Plan(
        seed=seed,
        climate=climate,
        orders=tuple(orders),
        deeds=tuple(deeds),
        deaths=tuple(deaths),
        troubles=tuple(troubles),
        restores=tuple(restores),
    )


ROUTES: Final[Sequence[Route]] = (
    *[("graph", "smtp")] * 4,
    ("graph",),
    ("smtp", "graph"),
    ("graph", "relay"),
    ("graph", "relay"),
    ("relay", "graph"),
    ("graph", "smtp", "relay"),
    ("graph", "graph2"),
)


def _climate(chance: Chance) -> Climate:
    names = tuple(f"box{n}@contoso.com" for n in range(chance.one(1, 1, 2, 3)))
    route = chance.one(*ROUTES)
    rewritten = [(kind, own) for kind in ("graph", "smtp") for own in (True, False)]
    quick = chance.happens(0.85)
    days = Chance(chance.random())
    limits = Chance(chance.random())
    return Climate(
        disorder=chance.one(0.0, 0.0, 0.05, 0.5),
        quick=quick,
        per_minute=chance.one(0, 3, 6, 30),
        concurrent=chance.one(0, 1, 2, 4, 4),
        per_day=days.one(8, 16) if days.happens(0.05) else 0,
        tenant_per_day=12 if days.happens(0.03) else 0,
        uploads=12_000 if limits.happens(0.12) else 0,
        own_pace={name: limits.one(0, 2, 5) for name in route[1:] if limits.happens(0.15)},
        sender_pace=limits.one(*[0] * 6, 1, 2),
        shared=limits.happens(0.5),
        route=route,
        stall=chance.one(0.0, 0.02, 0.2),
        poison=chance.one(0.0, 0.0, 0.1),
        sick_disk=chance.one(0.0, 0.0, 0.03),
        fates={name: share for name, share in FATES.items() if chance.happens(0.4)},
        storminess=chance.one(0.05, 0.2, 0.5, 0.9),
        slowest_copy=chance.one(0.5, 5.0, 40.0),
        rewritten=frozenset(chance.some(rewritten, 0.5)) if chance.happens(0.15) else frozenset(),
        keeps_nothing=chance.happens(0.08),
        blind=chance.one(0.0, 0.0, 0.2),
        mailboxes=names,
        storm=chance.between(60.0, 400.0),
        polls=chance.one(30.0, 120.0, 120.0, NEVER),
        late_jump=chance.one(*[0.0] * 8, -HOUR, HOUR),
    )


def _order(n: int, chance: Chance, climate: Climate) -> Order:
    mailbox = chance.one(*climate.mailboxes)
    alias = chance.randint(0, 1) if chance.happens(0.3) else None
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


_ACTS: Final[Sequence[Act]] = (
    "cancel", "cancel", "retry", "retry_twice", "release", "settle", "resume", "pause", "pause_transport",
    "resume_transport", "postpone", "hurry", "shorten", "never_expires", "priority",
)  # fmt: skip


def _deed(n: int, chance: Chance, climate: Climate, orders: list[Order]) -> Deed:
    order = chance.one(*orders)
    return Deed(
        name=f"deed{n}",
        at=order.at + chance.often_short(climate.storm * 0.5),
        act=chance.one(*_ACTS),
        order=order.name,
        amount=chance.between(5.0, 120.0),
    )


def _death(n: int, chance: Chance, climate: Climate) -> Death:
    drain = chance.happens(0.3)
    return Death(
        name=f"death{n}",
        at=chance.between(0.0, climate.storm),
        kind="drain" if drain else "crash",
        moment=chance.one("turn", "turn", "before_commit", "after_commit", "on_wire", "answered", "sync"),
        count=chance.randint(1, 40),
        down=chance.often_short(90.0),
        second=chance.often_short(25.0) if drain and chance.happens(0.4) else None,
    )


def _restore(chance: Chance, climate: Climate) -> Restore:
    taken = chance.between(5.0, climate.storm * 0.8)
    at = taken + chance.between(1.0, climate.storm - taken)
    return Restore(name="restore", taken=taken, at=at, down=chance.between(5.0, 300.0), backup=chance.happens(0.5))


def _set_clock(n: int, chance: Chance, climate: Climate) -> Trouble:
    at = chance.between(0.0, climate.storm)
    amount = chance.one(-HOUR, HOUR, chance.between(-HOUR, HOUR))
    return Trouble(name=f"clock{n}", at=at, until=at, what="clock", amount=amount)


def _trouble(n: int, chance: Chance, climate: Climate, orders: list[Order]) -> Trouble:
    at = chance.between(0.0, climate.storm - CERTAIN_END)
    until = min(at + chance.often_short(climate.storm) + 5.0, climate.storm)
    what = chance.one(
        "outage", "black_hole", "busy", "mailbox_blocked", "sender_blocked", "transport_blocked", "no_right",
        "no_look_up", "throttled", "token_refused", "disk_full",
    )  # fmt: skip
    of = chance.one(*climate.route)
    if what in {"mailbox_blocked", "no_right", "no_look_up", "throttled"}:
        of = climate.account(of, chance.one(*climate.mailboxes))
    if what == "sender_blocked":
        order = chance.one(*[one for one in orders if one.sender != one.mailbox], orders[0])
        of = f"{order.mailbox} {order.sender}"
    return Trouble(name=f"trouble{n}", at=at, until=until, what=what, of=of, amount=chance.between(1.0, 120.0))
