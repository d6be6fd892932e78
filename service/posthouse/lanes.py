"""When a lane may send: pace, slots, uploads, pauses, what a person said. Pure: time is an argument.

A lane is one sending account (PROMISES §7). Its slots are Graph's 4 requests at once for an app and mailbox, and
SMTP's 3 connections; its other limits are kept by ``pace``. A fifth of pace and slots is kept for priority high.
Transports with limits of their own (High Volume Email) have a pace of their own; so has a sender whose settings say so.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from posthouse.limits import PLAIN, Discipline, Load, Started, Use
from posthouse.message import Millis
from posthouse.pace import NEVER, Day, Pace, Volume, kept
from posthouse.records import SILENCE, Lease, Past, Pause, Told

PAUSED_BY_PERSON: Final = "paused_by_person"
DAY_USED: Final = "recipients_per_day"
TENANT_DAY_USED: Final = "tenant_recipients_per_day"
THROTTLED_REASON: Final = "graph.throttled"
OURS: Final = frozenset({DAY_USED, TENANT_DAY_USED})
"""Reasons of pauses that we reckon ourselves: a person's word ends them, and they come back where they are true."""


class Lane:
    """The discipline of one account; who watches is told when room may have appeared.

    ``tenant`` is the day that all accounts share.
    """

    def __init__(self, tenant: Day | None = None) -> None:
        self.tenant = tenant or Day()
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._senders: defaultdict[str, Pace] = defaultdict(lambda: Pace(keep=False))
        self._upload = Volume()
        self.day = Day()
        self._pauses: dict[str | None, Pause] = {}
        self._unsaved: set[str | None] = set()
        self._told = SILENCE
        self._in_flight: defaultdict[str, int] = defaultdict(int)
        self._others: defaultdict[str, int] = defaultdict(int)
        self._inherited: tuple[Millis, ...] = ()
        self._looking = 0
        self._looks_wanted = 0
        self._watching: dict[Callable[[], None], None] = {}  # told in the order of asking
        self.block_ended_at: Millis = 0
        """When the latest block ended: time behind it does not count towards the default expiry (PROMISES §6)."""

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

    def open(self, lease: Lease, past: Past | None, discipline: Discipline, now: Millis) -> None:
        """Go on from what was written down; a pause that could not be written stands beside it.

        ``past`` None: nobody else had the lane since, so that what is known here is all there is.
        """
        if past is not None:
            self._learn(past, discipline, now)
        unsaved = {name: self._pauses[name] for name in self._unsaved if name in self._pauses}
        self._pauses = {pause.transport: pause for pause in lease.pauses}
        for name, pause in unsaved.items():
            known = self._pauses.get(name)
            self._pauses[name] = pause if known is None else _merged(known, pause)
        self._told = lease.told
        self.block_ended_at = max(self.block_ended_at, lease.block_ended_at)

    def _learn(self, past: Past, discipline: Discipline, now: Millis) -> None:
        paces: defaultdict[str, list[tuple[Millis, bool]]] = defaultdict(list)
        senders: defaultdict[str, list[tuple[Millis, bool]]] = defaultdict(list)
        for start in past.starts:
            use = discipline.uses.get(start.transport)
            ended = (now if start.at is None else start.at, start.high)
            paces["" if use is None else use.pace].append(ended)
            if start.sender in discipline.senders:
                senders[start.sender].append(ended)
        for name in {*self._paces, *paces}:
            self._paces[name].learn(paces[name], now)
        for name in {*self._senders, *senders}:
            self._senders[name].learn(senders[name], now)
        self._upload.learn(past.uploads, now)
        self.day.learn(past.hours)
        self._inherited = past.alive

    # --- pauses

    def paused(self, now: Millis) -> Pause | None:
        """The pause that keeps the whole lane from sending now."""
        if self._told.paused:
            return Pause(None, NEVER, PAUSED_BY_PERSON, blocked=False, since=self._told.at)
        pause = self._pauses.get(None)
        stands = pause is not None and (pause.until > now or (pause.blocked and self.in_flight > 0))
        return pause if stands else None

    def blocked(self, transport: str) -> bool:
        """Whether a block stands that keeps the account from sending by this transport, its probe apart."""
        return any(self._pauses[name].blocked for name in (None, transport) if name in self._pauses)

    def looks_at(self, now: Millis, transport: str) -> Millis:
        """When a look-up by this transport may start: not before the end of a Retry-After (PROMISES §7).

        What a person said, a block or a used day stops sends and not look-ups (PROMISES §5).
        """
        return max([now, *self._asked_to_wait(None), *self._asked_to_wait(transport)])

    def _asked_to_wait(self, transport: str | None) -> list[Millis]:
        pause = self._pauses.get(transport)
        return [] if pause is None else [_asked_until(pause)]

    def quiet(self, now: Millis, concurrent: int) -> bool:
        """Whether a look-up that nobody waits for takes nothing from anybody: nothing rests, two slots are free."""
        rests = any(until > now for name in self._pauses for until in self._asked_to_wait(name))
        return not rests and (not concurrent or self.in_flight + self._looks_wanted <= concurrent - 2)

    @property
    def looking(self) -> bool:
        """A look-up is under way or waits for its slot."""
        return self._looking + self._looks_wanted > 0

    def unusable(self, now: Millis) -> dict[str, Millis]:
        """The transports that this account may not use now, and when to ask again."""
        found: dict[str, Millis] = {}
        for name, pause in self._pauses.items():
            if name is None:
                continue
            if pause.until > now:
                found[name] = pause.until
            elif pause.blocked and self._in_flight[name]:
                found[name] = now + 1_000
        return found

    def rests_since(self, at: Millis, now: Millis, transport: str) -> bool:
        """Whether a pause began after ``at`` that this transport must obey: what is not on the wire must not go."""
        if self._told.paused and self._told.at >= at:
            return True
        # a used day is no reason: what took its room before must go, or nothing goes that day
        pauses = [one for name in (None, transport) if (one := self._pauses.get(name)) and one.reason not in OURS]
        return any(pause.since >= at and pause.until > now for pause in pauses)

    def pause(self, pause: Pause) -> Pause:
        """Pause; what stands now: the later end counts, a block stays one until a success or a person ends it."""
        known = self._pauses.get(pause.transport)
        if known is not None:
            pause = _merged(known, pause)
        self._pauses[pause.transport] = pause
        self._unsaved.add(pause.transport)
        return pause

    def standing(self, transport: str | None) -> Pause | None:
        """The pause that is known, over or not."""
        return self._pauses.get(transport)

    def unsaved(self, now: Millis) -> tuple[Pause, ...]:
        """The pauses that are not over and not written down."""
        pauses = (self._pauses[name] for name in self._unsaved if name in self._pauses)
        return tuple(pause for pause in pauses if pause.until > now)

    def saved(self, transport: str | None) -> None:
        """The pause is written down."""
        self._unsaved.discard(transport)

    def resume(self, now: Millis, transport: str | None = None) -> bool:
        """End a pause; False where none stands."""
        pause = self._pauses.pop(transport, None)
        self._unsaved.discard(transport)
        if pause is not None and pause.blocked:
            self.block_ended_at = now
        if pause is not None:
            self._tell()
        return pause is not None

    def blocks(self, transport: str) -> tuple[str | None, ...]:
        """The blocks that a success by this transport ends: the lane's and the transport's own."""
        return tuple(name for name in (None, transport) if name in self._pauses and self._pauses[name].blocked)

    def told(self, told: Told, now: Millis) -> bool:
        """Take a person's word where it is newer than what is known; False where it is not.

        Resume ends blocks and reckoned pauses that stood before it, and never a Retry-After: that is Microsoft's word.
        """
        if told == self._told or told.at < self._told.at:
            return False
        self._told = told
        if not told.paused:
            for name, pause in tuple(self._pauses.items()):
                if not _is_asked(pause) and pause.since <= told.at:
                    self.resume(now, name)
                    if pause.asked_until > now:
                        asked = replace(
                            pause, until=pause.asked_until, reason=THROTTLED_REASON, blocked=False, asked_until=0
                        )
                        self._pauses[name] = asked
        self._tell()
        return True

    # --- sending

    def start_at(self, now: Millis, *, transport: str, use: Use, load: Load = PLAIN) -> Millis:
        """When one more send by this transport may start: ``now``, later, or NEVER (until something ends)."""
        pause = self.paused(now)
        if pause is not None:
            return pause.until if pause.until > now else NEVER
        if self._full(now, transport, use, high=load.high):
            return min(self._inherited, default=NEVER)
        return max(self.pace_at(now, use, load), self.sender_at(now, load), self.upload_at(now, use, load))

    def pace_at(self, now: Millis, use: Use, load: Load) -> Millis:
        """When the minute has room."""
        return self._paces[use.pace].next_at(now, per_minute=use.limits.messages_per_minute, high=load.high)

    def sender_at(self, now: Millis, load: Load) -> Millis:
        """When the minute of the sender has room."""
        if not load.sender_per_minute:
            return now
        return self._senders[load.sender].next_at(now, per_minute=load.sender_per_minute, high=load.high)

    def upload_at(self, now: Millis, use: Use, load: Load) -> Millis:
        """When the uploads of five minutes have room."""
        if not load.wire_bytes:
            return now
        return self._upload.next_at(now, limit=use.limits.upload_bytes_per_5_minutes, size=load.wire_bytes)

    def used(self, now: Millis, use: Use) -> tuple[int, int, int]:
        """What counts now: starts of the minute, bytes of five minutes, recipients of the day."""
        return self._paces[use.pace].used(now), self._upload.used(now), self.day.used(now)

    def _full(self, now: Millis, transport: str, use: Use, *, high: bool) -> bool:
        alive = self._alive(now)
        if use.slots:
            own = self._in_flight if high else self._others
            if (
                own[transport] >= use.slots - (0 if high else kept(use.slots))
                or self._in_flight[transport] >= use.slots
            ):
                return True
        concurrent = use.limits.concurrent_requests
        if not concurrent:
            return False
        looks = self._looking + self._looks_wanted
        taken = sum(self._in_flight.values()) + looks + alive
        others = sum(self._others.values()) + looks
        return taken >= concurrent or (not high and others >= concurrent - kept(concurrent))

    def _alive(self, now: Millis) -> int:
        """Requests of a former owner that may still be under way."""
        if self._inherited:
            self._inherited = tuple(until for until in self._inherited if until > now)
        return len(self._inherited)

    def start(self, now: Millis, *, transport: str, use: Use, load: Load = PLAIN) -> Started:
        """Take a slot and a place in every window."""
        self._take(transport, high=load.high)
        if use.limits.messages_per_minute:
            self._paces[use.pace].start(now, high=load.high)
        if load.sender_per_minute:
            self._senders[load.sender].start(now, high=load.high)
        if load.wire_bytes and use.limits.upload_bytes_per_5_minutes:
            self._upload.start(load.wire_bytes)
        for day in (self.day, self.tenant):
            day.take(now, load.recipients)
        return Started(transport, use, load, now)

    def end(self, started: Started, now: Millis) -> None:
        """The answer is there: the slot is free, the places stay taken as long as the windows say."""
        use, load = started.use, started.load
        if use.limits.messages_per_minute:
            self._paces[use.pace].end(now, high=load.high)
        if load.sender_per_minute:
            self._senders[load.sender].end(now, high=load.high)
        if load.wire_bytes and use.limits.upload_bytes_per_5_minutes:
            self._upload.end(now, load.wire_bytes)
        self.give_slot(started)

    def unstart(self, started: Started) -> None:
        """Nothing left for the wire: the slot and all places are free again."""
        use, load = started.use, started.load
        if use.limits.messages_per_minute:
            self._paces[use.pace].cancel(high=load.high)
        if load.sender_per_minute:
            self._senders[load.sender].cancel(high=load.high)
        if load.wire_bytes and use.limits.upload_bytes_per_5_minutes:
            self._upload.cancel(load.wire_bytes)
        self.not_sent(started)
        self.give_slot(started)

    def not_sent(self, started: Started) -> None:
        """It was certainly not sent, so that its recipients do not count for the day."""
        for day in (self.day, self.tenant):
            day.give_back(started.at, started.load.recipients)

    def give_slot(self, started: Started) -> None:
        """Give the slot back."""
        self._in_flight[started.transport] -= 1
        self._others[started.transport] -= not started.load.high
        self._tell()

    def take_again(self, started: Started) -> None:
        """Take a slot back that was given too early."""
        self._take(started.transport, high=started.load.high)

    def _take(self, transport: str, *, high: bool) -> None:
        self._in_flight[transport] += 1
        self._others[transport] += not high

    # --- look-ups

    def want_look(self) -> None:
        """Ask for the next slot that falls free; looks come before sends, they end doubt."""
        self._looks_wanted += 1

    def start_look(self, concurrent: int, now: Millis) -> bool:
        """Take a slot for a look-up; False where none is free yet. Pauses do not stop look-ups (PROMISES §5)."""
        taken, others = self.in_flight + self._alive(now), sum(self._others.values()) + self._looking
        if concurrent and (taken >= concurrent or others >= concurrent - kept(concurrent)):
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

    def _tell(self) -> None:
        for changed in tuple(self._watching):
            changed()


def _merged(known: Pause, new: Pause) -> Pause:
    """Two pauses of the same transport as one: the later end, and a block where either is one."""
    until, asked_until = max(known.until, new.until), max(_asked_until(known), _asked_until(new))
    if known.blocked:
        reason = new.reason if new.blocked else known.reason
        return replace(new, until=until, reason=reason, blocked=True, since=known.since, asked_until=asked_until)
    merged = replace(new if new.blocked or new.until >= known.until else known, until=until)
    return merged if _is_asked(merged) else replace(merged, asked_until=asked_until)


def _asked_until(pause: Pause) -> Millis:
    """Until when Microsoft asked to wait; long ago where it did not."""
    return pause.until if _is_asked(pause) else pause.asked_until


def _is_asked(pause: Pause) -> bool:
    return not pause.blocked and pause.reason not in OURS
