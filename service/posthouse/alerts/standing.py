"""What is wrong now or will be soon, as alerts: one cause is one alert, however many mailboxes it touches.

Pure: time is an argument. Each alert has the key of a fix, which says its class, what it means and what mends it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from posthouse.fixes import FIXES, Kind
from posthouse.lanes import PAUSED_BY_PERSON
from posthouse.message import Millis, Status
from posthouse.pace import Day
from posthouse.records import Alert, Credential, LaneRow, Past, Space, TenantBounce
from posthouse.verdict import Standing, nobody_sends, obstacles

MINUTE: Final[Millis] = 60_000
DAY: Final[Millis] = 86_400_000
ENDS: Final = (30 * DAY, 7 * DAY, DAY, 0)
"""How long before its end a credential is told of, and told of again."""
USED: Final = (80, 95, 100)
"""Per cent of a day's recipients from which it is told, and told again."""
OPEN: Final[Millis] = 5 * MINUTE
"""How long a transport is left alone before it is told: most faults of Microsoft's are over by then."""
SHORT: Final[Millis] = 15 * MINUTE
"""What a token is still good for when a refresh that fails for a passing reason is told."""
ROOM: Final = 5
"""How many times the floor of the disk is too little to be quiet about."""
APART: Final[Millis] = 5_000
"""From which difference between wall and own time it is told."""
RETIRES: Final = date(2026, 12, 31)
"""Exchange Online switches passwords for SMTP AUTH off by default (FACTS D3, migration/retirement.py)."""
BEFORE_IT_RETIRES: Final = date(2026, 12, 1)
NAMED: Final = 5
"""Mailboxes that an alert names at most; their number stands beside them."""

DAY_NEARLY_USED: Final = "day_nearly_used"
LANE_AGES: Final = "lane_ages"
MESSAGES_HELD: Final = "messages_held"
NOBODY_SENDS: Final = "nobody_sends"
PASSWORD_RETIRES: Final = "smtp.password_retires"  # noqa: S105 - the key of a fix
CLOCK_DIFFERS: Final = "clock_differs"
TENANT_LIMITED: Final = "smtp.tenant_quota"

_MENDED_BY_SOMEBODY: Final = frozenset({Kind.CREDENTIALS, Kind.POLICY, Kind.CONFIGURATION})
_CREDENTIALS: Final = {
    "token": "the token of transport {}",
    "app_certificate": "the app's certificate of transport {}",
    "client_secret": "the client secret of transport {}",
    "listener_certificate": "the certificate of listener {}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on something is told: the age of due mail in milliseconds, limits of recipients a day (0: none), bytes."""

    lane_age: Millis
    recipients_per_day: int
    tenant_recipients_per_day: int
    floor_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that alerts are made of.

    ``bounced`` are reports of a day that the tenant, not the mail, is refused, the latest first. ``tenant_hours`` are the recipients of all mailboxes by hours since 1970; ``passwords`` the transports that log in at
    Exchange Online with a password; ``clock_ahead`` by how much the wall clock is ahead of the service's own time.
    """

    standing: Standing
    credentials: Sequence[Credential] = ()
    space: Space | None = None
    tenant_hours: Sequence[tuple[int, int]] = ()
    passwords: Collection[str] = ()
    clock_ahead: Millis = 0
    bounced: Sequence[TenantBounce] = ()


def alerts(seen: Seen, thresholds: Thresholds) -> Sequence[Alert]:
    """All of them."""
    standing = seen.standing
    return [
        *_room(seen, thresholds),
        *_credentials(seen.credentials, standing.now),
        *_transports(standing),
        *_lanes(standing, thresholds),
        *_days(seen, thresholds),
        *_held(standing),
        *_passwords(seen),
        *_clock(seen),
        *_bounced(seen.bounced),
    ]


def summary(standing: Standing) -> str:
    """The daily line: how everything stands, in one sentence."""
    counts = standing.counts
    due = sum(part.due for lane in standing.lanes for part in lane.backlog)
    words = [
        many(counts.get(Status.HELD, 0), "held"),
        many(counts.get(Status.UNCONFIRMED, 0), "looked for"),
        many(due, "due"),
    ]
    failed = counts.get(Status.FAILED, 0) + counts.get(Status.EXPIRED, 0)
    return (
        f"{', '.join(words)}. Of what is kept {counts.get(Status.SENT, 0):,} were sent, {failed:,} failed or expired."
    )


def many(number: int, how: str) -> str:
    """``1 message held``."""
    return f"{number:,} message{'' if number == 1 else 's'} {how}"


def _room(seen: Seen, thresholds: Thresholds) -> Iterator[Alert]:
    free = None if seen.space is None else seen.space.free
    floor = thresholds.floor_bytes
    if free is not None and floor and free < ROOM * floor:
        level = 2 if free < floor else 1
        text = f"{free // 2**20:,} MB are left on the disk under the spool"
        stops = "nothing is accepted now" if level > 1 else f"below {floor // 2**20:,} MB nothing is accepted"
        yield Alert(key="spool.low", subject="spool", text=f"{text}; {stops}", level=level)
    elif seen.standing.ready is not None:
        yield Alert(key="spool.unwritable", subject="spool", text=f"mail is not taken: {seen.standing.ready}")


def _credentials(credentials: Sequence[Credential], now: Millis) -> Iterator[Alert]:
    failing: defaultdict[tuple[str, str], list[Credential]] = defaultdict(list)
    for one in credentials:
        name = _CREDENTIALS[one.kind].format(one.name)
        if one.kind == "token":
            if one.answer is not None and _lasting(one, now):
                failing[one.answer.fix or "", one.answer.text].append(one)
            continue
        if one.expires_at is None:
            key = "listener_certificate" if one.kind == "listener_certificate" else "entra.secret_unreadable"
            yield Alert(key=key, subject=name, text=f"{name} cannot be read", transports=_ways(one))
            continue
        level = sum(one.expires_at - now <= left for left in ENDS)
        if level:
            verb = "ended" if one.expires_at <= now else "ends"
            text = f"{name} {verb} on {_day(one.expires_at)}"
            yield Alert(key=f"{one.kind}_ends", subject=name, text=text, level=level, transports=_ways(one))
    for (key, why), those in failing.items():
        names = ", ".join(one.name for one in those)
        left = min((one.expires_at for one in those if one.expires_at is not None), default=None)
        ends = "" if left is None or left <= now else f"; the one in use is good until {_moment(left)}"
        text = f"there is no new token for {names}: {why}{ends}"
        yield Alert(key=key, subject="tokens", text=text, transports=tuple(one.name for one in those))


def _lasting(one: Credential, now: Millis) -> bool:
    """Whether somebody must do something about a token that is not renewed, or it ends soon."""
    fix = FIXES.get(one.answer.fix or "") if one.answer is not None else None
    if fix is None:
        return False
    return fix.kind in _MENDED_BY_SOMEBODY or one.expires_at is None or one.expires_at - now < SHORT


def _ways(one: Credential) -> tuple[str, ...]:
    return () if one.kind == "listener_certificate" else (one.name,)


def _transports(standing: Standing) -> Iterator[Alert]:
    for row in standing.transports:
        if row.told.paused or row.state == "closed":
            continue
        if row.state == "blocked" or row.since < standing.now - OPEN:
            how = "is blocked" if row.state == "blocked" else "has been down"
            text = f"transport {row.name} {how} since {_moment(row.since)}"
            key = row.reason if row.reason in FIXES else "transport"
            yield Alert(key=key, subject=f"transport {row.name}", text=text, transports=(row.name,))


def _lanes(standing: Standing, thresholds: Thresholds) -> Iterator[Alert]:
    """Mailboxes that somebody must do something about, at once; others whose mail waits for too long."""
    told = set[str]()
    for one, accounts in obstacles(standing).items():
        if one.reason == PAUSED_BY_PERSON:  # somebody knows
            told.update(accounts)
        elif one.lasting:
            told.update(accounts)
            by = "" if one.transport is None else f" by {one.transport}"
            text = f"{_named(accounts)} cannot send{by}"
            key = one.reason if one.reason in FIXES else LANE_AGES
            ways = () if one.transport is None else (one.transport,)
            yield Alert(
                key=key,
                subject=f"mailboxes{by}",
                text=text,
                level=_scale(len(accounts), base=2),
                transports=ways,
                mailboxes=tuple(accounts),
            )
    if nobody_sends(standing):
        yield Alert(key=NOBODY_SENDS, subject="workers", text="mail is due and nobody sends it")
        return
    oldest = standing.now - thresholds.lane_age
    late = [row for row in standing.lanes if row.oldest_due_at is not None and row.oldest_due_at <= oldest]
    late = [row for row in late if row.account not in told]
    if late:
        yield _late(late)


def _late(rows: Sequence[LaneRow]) -> Alert:
    due = sum(part.due for row in rows for part in row.backlog)
    since = min(row.oldest_due_at or 0 for row in rows)
    accounts = [row.account for row in rows]
    text = f"{many(due, 'of')} {_named(accounts)} {'waits' if due == 1 else 'wait'}, the oldest since {_moment(since)}"
    return Alert(
        key=LANE_AGES,
        subject="mailboxes",
        text=text,
        level=_scale(len(accounts), base=2),
        mailboxes=tuple(accounts),
    )


def _days(seen: Seen, thresholds: Thresholds) -> Iterator[Alert]:
    standing, limit = seen.standing, thresholds.recipients_per_day
    near: dict[str, int] = {}
    for row in standing.lanes:
        used = _used(standing.pasts.get(row.lane, Past()).hours, standing.now)
        if limit and used * 100 >= USED[0] * limit:
            near[row.account] = used
    if near:
        first = max(near, key=lambda account: near[account])
        more = f", {len(near) - 1} more are near it too" if len(near) > 1 else ""
        text = f"{first} has sent to {near[first]:,} of {limit:,} recipients of 24 hours{more}"
        yield Alert(
            key=DAY_NEARLY_USED,
            subject="mailboxes",
            text=text,
            level=_level(near[first], limit),
            mailboxes=tuple(near),
        )
    limit = thresholds.tenant_recipients_per_day
    used = _used(seen.tenant_hours, standing.now)
    if limit and used * 100 >= USED[0] * limit:
        text = f"all mailboxes together have sent to {used:,} of {limit:,} recipients of 24 hours"
        yield Alert(key=DAY_NEARLY_USED, subject="tenant", text=text, level=_level(used, limit))


def _used(hours: Sequence[tuple[int, int]], now: Millis) -> int:
    day = Day()
    day.learn(hours)
    return day.used(now)


def _level(used: int, limit: int) -> int:
    return sum(used * 100 >= part * limit for part in USED)


def _held(standing: Standing) -> Iterator[Alert]:
    held = standing.counts.get(Status.HELD, 0)
    if held:
        verb = "waits" if held == 1 else "wait"
        text = f"{many(held, 'held')}: {'it' if held == 1 else 'they'} {verb} for a person"
        yield Alert(key=MESSAGES_HELD, subject="messages", text=text, level=_scale(held, base=10))


def _passwords(seen: Seen) -> Iterator[Alert]:
    today = datetime.fromtimestamp(seen.standing.now / 1000, UTC).date()
    if today < BEFORE_IT_RETIRES:
        return
    level = 2 if today > RETIRES else 1
    for name in sorted(seen.passwords):
        text = f"transport {name} logs in with a password, which Exchange Online "
        text += "has switched off by default" if level > 1 else f"switches off by default at the end of {RETIRES:%B %Y}"
        yield Alert(key=PASSWORD_RETIRES, subject=f"transport {name}", text=text, level=level, transports=(name,))


def _clock(seen: Seen) -> Iterator[Alert]:
    if abs(seen.clock_ahead) > APART:
        way = "ahead of" if seen.clock_ahead > 0 else "behind"
        text = f"this machine's clock is {abs(seen.clock_ahead) / 1000:,.0f} s {way} the service's own time"
        yield Alert(key=CLOCK_DIFFERS, subject="clock", text=text)


def _bounced(reports: Sequence[TenantBounce]) -> Iterator[Alert]:
    """The tenant's own limit stops all mail to others for hours (FACTS D4), though Exchange takes it."""
    if reports:
        latest = reports[0]
        text = f"Exchange takes mail and does not deliver it: {latest.code}, reported to {latest.mailbox} at "
        yield Alert(key=TENANT_LIMITED, subject="tenant", text=text + _moment(latest.at))


def _scale(number: int, *, base: int) -> int:
    """How many digits: told again when it has grown by so many times."""
    level = 0
    while number:
        number //= base
        level += 1
    return level


def _named(accounts: Sequence[str]) -> str:
    more = f" and {len(accounts) - NAMED:,} more" if len(accounts) > NAMED else ""
    return ", ".join(accounts[:NAMED]) + more


def _day(at: Millis) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d}"


def _moment(at: Millis) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC"
