"""How a lane stands, reckoned from what is written down: who waits for what, until when. Pure: time is an argument.

Every process can answer, whoever owns the lane: what the owner knows better (its next turn, an app's ceiling) differs
by a moment at most.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from posthouse.lanes import DAY_USED, PAUSED_BY_PERSON, TENANT_DAY_USED, Lane
from posthouse.limits import Discipline, Limits, Load, Use, load_of
from posthouse.message import Message, Millis, Priority
from posthouse.pace import NEVER, WINDOW, Day, kept
from posthouse.records import LaneRow, Lease, Past, Pause, TransportRow

SCHEDULED: Final = "scheduled"
PACE: Final = "pace"
SENDER_PACE: Final = "sender_pace"
SLOTS: Final = "slots"
UPLOAD: Final = "upload"
TRANSPORT: Final = "transport"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lane stands for somebody who joins it now; no estimate where only a person or a cure can end the wait."""

    ahead: int
    held_by: str | None
    estimated_send_at: Millis | None


@dataclass(frozen=True, slots=True)
class Joiner:
    """A message that is about to be accepted."""

    client: str
    priority: Priority
    at: Millis


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """In one word why the first message of a lane does not leave now, and until when; None: until something ends."""

    reason: str
    until: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A lane with all that decides about its first message, as of ``at``."""

    row: LaneRow
    past: Past
    head: Message | None
    at: Millis
    tenant: Day = field(default_factory=Day)


def starts(ended: Iterable[Millis], *, room: int, now: Millis) -> list[Millis]:
    """When the next ``room`` messages start, of which a minute takes no more; those behind follow a minute later each."""
    times = sorted(min(at, now) for at in ended if at > now - WINDOW)[-room:]
    for _ in range(room):
        times.append(now if len(times) < room else max(now, times[-room] + WINDOW))
    return times[-room:]


def lane_of(account: Account, discipline: Discipline) -> Lane:
    """The lane as an owner would find it who takes it now, with what is under way."""
    row, lane = account.row, Lane()
    lease = Lease(lane=row.lane, account=row.account, fence=0, pauses=row.pauses, told=row.told)
    lane.open(lease, account.past, discipline, account.at)
    return lane


def waits_for(account: Account, discipline: Discipline, *, transports: Sequence[TransportRow]) -> WaitsFor | None:
    """Why the first message does not leave now; None where nothing waits or it leaves."""
    row, head, now = account.row, account.head, account.at
    lane = lane_of(account, discipline)
    pause = lane.paused(now)
    if not row.waiting:
        return None
    if pause is not None:
        return WaitsFor(pause.reason, None if pause.until >= NEVER else pause.until)
    if head is None:
        return WaitsFor(SCHEDULED, row.oldest_due_at)
    shut = _shut(transports, now) | lane.unusable(now)
    usable = [name for name in head.route if name in discipline.uses and name not in shut]
    if not usable:
        until = min((shut[name] for name in head.route if name in shut), default=NEVER)
        return WaitsFor(TRANSPORT, None if until >= NEVER else until)
    use = discipline.uses[usable[0]]
    return _limited(account, lane, discipline, use, load=load_of(head, use, discipline.senders))


def _shut(transports: Sequence[TransportRow], now: Millis) -> dict[str, Millis]:
    """The transports that nobody may use now, and until when."""
    found = {row.name: max(row.until, now) for row in transports if row.state != "closed"}
    return found | {row.name: NEVER for row in transports if row.told.paused}


def _limited(account: Account, lane: Lane, discipline: Discipline, use: Use, *, load: Load) -> WaitsFor | None:
    now, limits = account.at, use.limits
    days = ((limits.recipients_per_day, lane.day, DAY_USED),)
    days += ((discipline.tenant_recipients_per_day, account.tenant, TENANT_DAY_USED),)
    for limit, day, reason in days:
        at = day.room_at(now, limit=limit, recipients=load.recipients)
        if at > now:
            return WaitsFor(reason, at)
    waits = {
        PACE: lane.pace_at(now, use, load),
        SENDER_PACE: lane.sender_at(now, load),
        UPLOAD: lane.upload_at(now, use, load),
    }
    reason = max(waits, key=lambda one: waits[one])
    if waits[reason] > now:
        return WaitsFor(reason, None if waits[reason] >= NEVER else waits[reason])
    slots = limits.concurrent_requests - (0 if load.high else kept(limits.concurrent_requests))
    return WaitsFor(SLOTS, None) if limits.concurrent_requests and account.row.sending >= slots else None


@dataclass(slots=True)
class _Known:
    """What is known of a lane since it was learned, and who joined it meanwhile."""

    since: Millis
    due: Mapping[tuple[Priority, str], int] = field(default_factory=dict)
    pause: Pause | None = None
    ended: tuple[Millis, ...] = ()
    begins: Millis = 0
    joined: Counter[tuple[Priority, str]] = field(default_factory=Counter)
    schedules: dict[int, list[Millis]] = field(default_factory=dict)


class Backlog:
    """How long the lanes are, as of the latest look; answers a door from memory, and counts who joins meanwhile."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[str, _Known] = {}

    def learn(self, rows: Sequence[LaneRow], pasts: Mapping[int, Past], now: Millis) -> None:
        """Take what the spool says now."""
        self._lanes = {row.account: self._known(row, pasts.get(row.lane, Past()), now) for row in rows}

    def _known(self, row: LaneRow, past: Past, now: Millis) -> _Known:
        day = Day()
        day.learn(past.hours)
        pause = next((one for one in row.pauses if one.transport is None and (one.until > now or one.blocked)), None)
        if row.told.paused:
            pause = Pause(None, NEVER, PAUSED_BY_PERSON, blocked=False, since=row.told.at)
        return _Known(
            since=now,
            due={(one.priority, one.client): one.due for one in row.backlog},
            pause=pause,
            ended=tuple(now if start.at is None else start.at for start in past.starts),
            begins=day.room_at(now, limit=self._limits.recipients_per_day, recipients=1),
        )

    def standing(self, account: str, joiner: Joiner) -> Standing:
        """What somebody who joins this lane now has before them."""
        known = self._lanes.get(account) or _Known(since=joiner.at, begins=joiner.at)
        ahead = _ahead(known, joiner)
        pause = known.pause
        if pause is not None and (pause.blocked or pause.until >= NEVER):
            return Standing(ahead, pause.reason, None)
        held_by = None if pause is None or pause.until <= joiner.at else pause.reason
        limit = self._limits.messages_per_minute
        if not limit:
            return Standing(ahead, held_by, max(joiner.at, known.begins, pause.until if pause else 0))
        quiet = not known.ended and ahead < limit
        room = limit if quiet or joiner.priority is Priority.HIGH else limit - kept(limit)
        schedule = self._schedule(known, room)
        rounds, place = divmod(ahead, room)
        at = schedule[place] + rounds * WINDOW
        gone = min(bisect_right(schedule, joiner.at), ahead)
        return Standing(ahead - gone, held_by, max(at, joiner.at))

    def join(self, account: str, joiner: Joiner) -> None:
        """Somebody joined it."""
        known = self._lanes.setdefault(account, _Known(since=joiner.at, begins=joiner.at))
        known.joined[joiner.priority, joiner.client] += 1

    @staticmethod
    def _schedule(known: _Known, room: int) -> list[Millis]:
        if room not in known.schedules:
            begins = max(known.since, known.begins, known.pause.until if known.pause else 0)
            known.schedules[room] = starts(known.ended, room=room, now=begins)
        return known.schedules[room]


def _ahead(known: _Known, joiner: Joiner) -> int:
    """How many start before somebody who joins: all of higher priority, of each client of the same as many as of theirs."""
    waiting = Counter(known.due) + known.joined
    own = waiting[joiner.priority, joiner.client]
    higher = sum(count for (priority, _), count in waiting.items() if priority < joiner.priority)
    others = sum(
        min(count, own + 1)
        for (priority, client), count in waiting.items()
        if priority == joiner.priority and client != joiner.client
    )
    return higher + own + others
