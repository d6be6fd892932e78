"""When a lane may send, and when a transport may be used: pace, slots, pauses, circuits. Pure: time is an argument.

A lane is one sending account (PROMISES §7). Its pace is a sliding window of 60 s over attempt starts, because
Exchange counts 30 messages a minute and mailbox (FACTS B1); its slots are Graph's 4 requests at once for an app and
mailbox, and SMTP's 3 connections. Transports with limits of their own (High Volume Email) have a pace of their own.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from posthouse.message import Millis
from posthouse.records import Pause

WINDOW: Final[Millis] = 60_000
NEVER: Final[Millis] = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may do; 0 means no limit."""

    messages_per_minute: int = 30
    concurrent_requests: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How a transport draws on a lane: the name of its pace ("" is the lane's own), its limits, its own slots."""

    pace: str
    limits: Limits
    slots: int


class Pace:
    """A sliding window over attempt starts."""

    def __init__(self, starts: Iterable[Millis] = ()) -> None:
        self._starts = deque(sorted(starts))

    def next_at(self, now: Millis, *, per_minute: int) -> Millis:
        """When the next start is within the limit; ``now`` where it is already."""
        while self._starts and self._starts[0] <= now - WINDOW:
            self._starts.popleft()
        while self._starts and self._starts[-1] > now:
            self._starts.pop()  # the clock was set back
        if not per_minute or len(self._starts) < per_minute:
            return now
        return self._starts[len(self._starts) - per_minute] + WINDOW

    def start(self, now: Millis) -> None:
        """Count a start."""
        self._starts.append(now)

    def take_back(self) -> None:
        """The latest start was none."""
        if self._starts:
            self._starts.pop()

    def learn(self, starts: Iterable[Millis]) -> None:
        """Count starts that a former owner made."""
        self._starts = deque(sorted([*self._starts, *starts]))


class Lane:
    """The pace, slots and pauses of one account; who watches is told when room may have appeared."""

    def __init__(self, *, starts: Iterable[Millis] = (), pauses: Iterable[Pause] = ()) -> None:
        self._paces: dict[str, Pace] = {"": Pace(starts)}
        self._pauses: dict[str | None, Pause] = {pause.transport: pause for pause in pauses}
        self._opened = False
        self._in_flight: dict[str, int] = {}
        self._looking = 0
        self._looks_wanted = 0
        self._watching: dict[Callable[[], None], None] = {}  # told in the order of asking
        self.block_ended_at: Millis = 0

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when room may have appeared."""
        self._watching[changed] = None

    def unwatch(self, changed: Callable[[], None]) -> None:
        """Call it no more."""
        self._watching.pop(changed, None)

    @property
    def in_flight(self) -> int:
        """Sends and look-ups under way."""
        return sum(self._in_flight.values()) + self._looking

    @property
    def idle(self) -> bool:
        """Nothing under way and nobody waiting for a slot."""
        return not self.in_flight and not self._looks_wanted

    def open(self, *, starts: Iterable[Millis], pauses: Iterable[Pause]) -> None:
        """Go on from what was written down, once; what is known here already is newer."""
        if not self._opened:
            self._opened = True
            self._paces[""].learn(starts)
            for pause in pauses:
                self._pauses.setdefault(pause.transport, pause)

    def paused(self, now: Millis) -> Pause | None:
        """The pause that keeps the whole lane from sending now."""
        pause = self._pauses.get(None)
        stands = pause is not None and (pause.until > now or (pause.blocked and self.in_flight > 0))
        return pause if stands else None

    def unusable(self, now: Millis) -> dict[str, Millis]:
        """The transports that this account may not use now, and when to ask again."""
        found: dict[str, Millis] = {}
        for name, pause in self._pauses.items():
            if name is None:
                continue
            if pause.until > now:
                found[name] = pause.until
            elif pause.blocked and self._in_flight.get(name, 0):
                found[name] = now + 1_000
        return found

    def start_at(self, now: Millis, *, transport: str, use: Use) -> Millis:
        """When one more send by this transport may start: ``now``, later, or NEVER (until something ends)."""
        pause = self.paused(now)
        if pause is not None:
            return pause.until if pause.until > now else NEVER
        if use.slots and self._in_flight.get(transport, 0) >= use.slots:
            return NEVER
        concurrent = use.limits.concurrent_requests
        if concurrent and self.in_flight + self._looks_wanted >= concurrent:
            return NEVER
        pace = self._paces.setdefault(use.pace, Pace())
        return pace.next_at(now, per_minute=use.limits.messages_per_minute)

    def start(self, now: Millis, *, transport: str, use: Use) -> None:
        """Take a slot and a place in the minute."""
        self._in_flight[transport] = self._in_flight.get(transport, 0) + 1
        self._paces.setdefault(use.pace, Pace()).start(now)

    def end(self, transport: str) -> None:
        """Give the slot back."""
        self._in_flight[transport] -= 1
        self._tell()

    def unstart(self, transport: str, use: Use) -> None:
        """The start was none: give its slot and its place in the minute back."""
        self._paces[use.pace].take_back()
        self.end(transport)

    def take_again(self, transport: str) -> None:
        """Take a slot back that was given too early."""
        self._in_flight[transport] = self._in_flight.get(transport, 0) + 1

    def want_look(self) -> None:
        """Ask for the next slot that falls free; looks come before sends, they end doubt."""
        self._looks_wanted += 1

    def start_look(self, concurrent: int) -> bool:
        """Take a slot for a look-up; False where none is free yet. Pauses do not stop look-ups (PROMISES §5)."""
        if concurrent and self.in_flight >= concurrent:
            return False
        self._looks_wanted -= 1
        self._looking += 1
        return True

    def drop_look(self) -> None:
        """Ask no more."""
        self._looks_wanted -= 1
        self._tell()

    def end_look(self) -> None:
        """Give the look-up's slot back."""
        self._looking -= 1
        self._tell()

    def pause(self, pause: Pause) -> Pause:
        """Pause; a longer pause that stands already is kept, a block keeps the time since when it stands."""
        known = self._pauses.get(pause.transport)
        if known is not None and known.blocked and pause.blocked:
            pause = Pause(pause.transport, pause.until, pause.reason, blocked=True, since=known.since)
        elif known is not None and (known.until >= pause.until or known.blocked):
            return known
        self._pauses[pause.transport] = pause
        return pause

    def resume(self, now: Millis, transport: str | None = None) -> bool:
        """End a pause; False where none stands."""
        pause = self._pauses.pop(transport, None)
        if pause is not None and pause.blocked:
            self.block_ended_at = now
        if pause is not None:
            self._tell()
        return pause is not None

    def _tell(self) -> None:
        for changed in tuple(self._watching):
            changed()

    def blocks(self, transport: str) -> tuple[str | None, ...]:
        """The blocks that a success by this transport ends: the lane's and the transport's own."""
        return tuple(name for name in (None, transport) if name in self._pauses and self._pauses[name].blocked)


class Board:
    """The lanes that are alive in this process, by account; dispatcher and settling share their slots through it."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}

    def lane(self, account: str) -> Lane:
        """The lane of an account, made where there is none."""
        return self._lanes.setdefault(account, Lane())

    def open(self, account: str, *, starts: Iterable[Millis], pauses: Iterable[Pause]) -> Lane:
        """The lane of an account that was just leased; what is known here already is newer than what was read."""
        lane = self.lane(account)
        lane.open(starts=starts, pauses=pauses)
        return lane

    def forget_idle(self, account: str, now: Millis) -> None:
        """Let go of a lane that was released and holds nothing that a later lease could not read again."""
        lane = self._lanes.get(account)
        if lane is not None and lane.idle and lane.block_ended_at < now - WINDOW:
            del self._lanes[account]
