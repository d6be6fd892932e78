"""Sends for one lane as long as it is leased: takes only what can be sent at once, in turn, by the lane's own account."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from posthouse.board import Board
from posthouse.delivery import choose
from posthouse.dispatcher.attempt import SPOOL_PAUSE, Attempt, Place, Tools
from posthouse.dispatcher.moving import Elsewhere, Moving
from posthouse.lanes import DAY_USED, TENANT_DAY_USED
from posthouse.limits import Discipline, Load, Use, load_of
from posthouse.message import Message, Millis, Priority, Status
from posthouse.pace import NEVER
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Lease, Pause, Told
from posthouse.telemetry import MESSAGE_EXPIRED, log
from posthouse.turns import Turns

PEEK = 16
LONGEST_WAIT = 30.0
"""Seconds after which a lane looks again whatever it waits for, so that a jump of the clock cannot strand it."""
EXPIRED_AT_ONCE = 100
PATIENCE: Millis = 1_000
"""A lane that must wait longer than this for its next row is given back."""

LONG = 4
"""Rows of one strand in one reading from which on the next reading goes on behind them."""

Strand = tuple[Priority, str]


def strand_of(message: Message) -> Strand:
    """Which rows of its lane can go exactly when it can."""
    return message.priority, message.strand


@dataclass(frozen=True, slots=True)
class _Way:
    """The message may start now by this transport."""

    transport: str
    use: Use
    load: Load


@dataclass(frozen=True, slots=True)
class _NoRoom:
    """Its recipients do not fit into the day until then; ``whole``: nobody's do."""

    transport: str
    until: Millis
    reason: str
    whole: bool


class LaneRunner:
    """Owns a lane; ``run`` returns when the lane is drained, paused or told to stop."""

    def __init__(self, lease: Lease, *, tools: Tools, board: Board, discipline: Discipline) -> None:
        self._lease = lease
        self._tools = tools
        self._board = board
        self._discipline = discipline
        self._lane = board.lane(lease.account)
        self._apps = {use.app for use in discipline.uses.values() if use.app}
        self._news = asyncio.Event()
        self._stale = True
        self._stopping = False
        self._doubtful = False
        self._lost = False
        self._turns = Turns()
        self._after: dict[Strand, tuple[Millis, int]] = {}
        self._long: set[Strand] = set()
        self._from_start = True
        self._began_at = 0.0
        self._opened = False
        self._ready: list[Message] = []
        self._moving = Moving(lease, tools=tools, discipline=discipline)
        self._hand: dict[int, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def live(self) -> frozenset[int]:
        """The messages whose attempts are under way."""
        return frozenset(self._hand)

    def wake(self) -> None:
        """The lane's rows changed."""
        self._stale = True
        self._news.set()

    def hear(self, told: Told) -> None:
        """A person may have spoken about the lane."""
        self._lane.told(told, self._tools.clock.now())

    def stop(self) -> None:
        """Take no new row."""
        self._stopping = True
        self._news.set()

    def cut(self) -> None:
        """End the sends that are still under way."""
        for attempt in tuple(self._hand.values()):
            attempt.cut()

    async def run(self) -> None:
        """Send until there is nothing to send nor to look for, for now, then give the lane back."""
        self._lane.watch(self._news.set)
        self._tools.gates.watch(self._news.set)
        try:
            await self._open()
            self._board.take(self._lease.lane)
            await self._loop()
        finally:
            self._tools.gates.unwatch(self._news.set)
            self._board.give_back(self._lease.lane)
            for app in self._apps:
                self._board.ceiling(app).leave(self._news.set)
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._looks_end()
            self._lane.unwatch(self._news.set)
            if not self._lost:
                await self._give_back()

    async def _open(self) -> None:
        now, lease = self._tools.clock.now(), self._lease
        past = None
        if not self._board.remembers(lease):
            past = (await self._tools.spool.past(lanes=[lease.lane], now=now))[lease.lane]
        self._board.open(lease, past, self._discipline, now)
        self._opened = True

    async def _loop(self) -> None:
        look_every = self._tools.spool.look_every or LONGEST_WAIT
        while not self._stopping:
            self._news.clear()
            if self._doubtful and not await self._still_ours():
                return
            at = await self._fill()
            self._offer()
            now = self._tools.clock.now()
            if not self._hand and not self._stale and self._may_go(at, now):
                if self._lane.paused(now) is not None:
                    await self._moving.send_guests_home()
                if not await self._looks_soon(now):
                    return
                at = at if at is not None and at > now else None  # the verdict wakes the lane before
            wait = LONGEST_WAIT if at is None or at >= NEVER else (at - now) / 1000
            try:
                async with asyncio.timeout(min(max(wait, 0.0), look_every)):
                    await self._news.wait()
            except TimeoutError:
                self._stale = True

    async def _looks_soon(self, now: Millis) -> bool:
        """Whether a look-up or a look for drafts is under way or due: they run under this lease (PROMISES §5)."""
        spool, lane = self._tools.spool, self._lease.lane
        ats = (await spool.next_look(lanes=(lane,)), await spool.next_stray(lane=lane))
        return self._lane.looking or any(at is not None and at <= now + PATIENCE for at in ats)

    async def _looks_end(self) -> None:
        while self._lane.looking:
            self._news.clear()
            await self._news.wait()

    async def _still_ours(self) -> bool:
        """A row that could not be marked may mean that another worker has taken the lane from one that was silent."""
        self._doubtful = False
        self._lost = not await self._tools.spool.holds(lane=self._lease.lane, fence=self._lease.fence)
        return not self._lost

    def _may_go(self, at: Millis | None, now: Millis) -> bool:
        """Whether another could as well take the lane later: it is empty, or paused for long."""
        pause = self._lane.paused(now)
        if at is None:
            return True
        if pause is not None:
            return pause.until > now + PATIENCE
        # what is ready waits for pace, a slot, an app's ceiling or a circuit: whoever had the lane would wait as well
        return at > now + PATIENCE and not self._ready

    async def _fill(self) -> Millis | None:
        """Start all that may start now; when to come back, None where only an event can bring something."""
        while not self._stopping:
            if not self._ready or self._stale:
                await self._peek()
            if not self._ready:
                return await self._tools.spool.next_in(lane=self._lease.lane) if not self._hand else None
            elsewhere: dict[int, Elsewhere] = {}
            no_room: dict[int, _NoRoom] = {}
            at = self._start_one(elsewhere, no_room)
            if (
                at is None
                or (elsewhere and await self._move(elsewhere))
                or (no_room and await self._wait_for_day(no_room))
            ):
                continue
            now = self._tools.clock.now()
            if now < at < NEVER:
                # what falls due meanwhile may be of higher priority, for which room is kept
                due_at = await self._tools.spool.next_in(lane=self._lease.lane, after=now)
                at = at if due_at is None else min(at, due_at)
            return at
        return None

    async def _peek(self) -> None:
        self._stale = False
        now = self._tools.clock.now()
        rows = await self._read(now)
        if any(message.expires_at is not None and message.expires_at <= now for message in rows):
            expired = await self._tools.spool.expire(now=now, most=EXPIRED_AT_ONCE)
            if expired:
                log(MESSAGE_EXPIRED, level=logging.WARNING, messages=expired)
                self._tools.meter.finished(Status.EXPIRED, messages=expired)
        ready: list[Message] = []
        for message in rows:
            over = message.expires_at is not None and message.expires_at <= now
            if message.key in self._hand or over:
                continue
            route = tuple(name for name in message.route if name in self._discipline.uses)
            if route:
                ready.append(replace(message, route=route))
            else:
                await self._tools.spool.hold(key=message.key, id=message.id, at=now, cause="no_transport")
        self._ready = self._turns.order(ready)

    async def _read(self, now: Millis) -> Sequence[Message]:
        """Rows of every strand, behind what was taken of the long ones (SPOOL §2, the dead-tuple trap).

        From the start again where a strand seems drained, where a row was put back, and every 30 s: what came in with
        an earlier time lies before what was taken.
        """
        spool, lane, most = self._tools.spool, self._lease.lane, PEEK + len(self._hand)
        monotonic = self._tools.clock.monotonic()
        if self._from_start or monotonic - self._began_at > LONGEST_WAIT:
            self._after.clear()
        rows = await spool.peek(lane=lane, now=now, most=most, after=dict(self._after)) if self._after else ()
        if not self._after or not self._after.keys() <= {strand_of(row) for row in rows}:
            self._after.clear()
            self._from_start, self._began_at = False, monotonic
            rows = await spool.peek(lane=lane, now=now, most=most)
        counted = Counter(map(strand_of, rows))
        self._long = {strand for strand, count in counted.items() if count >= LONG or len(rows) >= most}
        return rows

    def _start_one(self, elsewhere: dict[int, Elsewhere], no_room: dict[int, _NoRoom]) -> Millis | None:
        """Start the first row that can go now (None), or say when to come back; notes rows that must go elsewhere."""
        now = self._tools.clock.now()
        unusable = self._tools.gates.unusable(now) | self._lane.unusable(now)
        earliest = NEVER
        for message in self._ready:
            match self._way(message, now, unusable):
                case _Way() as way:
                    self._start(message, way, now)
                    return None
                case Elsewhere() as other:
                    elsewhere[message.key] = other
                case _NoRoom() as used:
                    no_room[message.key] = used
                case at:
                    earliest = min(earliest, at)
        return earliest

    def _way(
        self, message: Message, now: Millis, unusable: Mapping[str, Millis]
    ) -> _Way | Elsewhere | _NoRoom | Millis:
        """By which transport the message starts now, where else it belongs, or when to ask again."""
        refused = dict(unusable)
        while True:
            name = choose(message, refused)
            if not isinstance(name, str):
                return name
            account = self._tools.accounts(name, message.mailbox)
            if account != self._lease.account:
                other = Elsewhere(name, account)
                later = self._moving.shut_until(message, other, now, refused)
                if later is None:
                    return other
                refused[name] = later
                continue
            use = self._discipline.uses[name]
            load = load_of(message, use, self._discipline.senders)
            found = self._room(name, use, load, now)
            if found is not None:
                return found
            alone = all(other == name or other in unusable for other in message.route)
            if self._tools.gates.admits(name, message, now, alone=alone):
                return _Way(name, use, load)
            refused[name] = now + PATIENCE

    def _room(self, name: str, use: Use, load: Load, now: Millis) -> _NoRoom | Millis | None:
        """None where the message may start now."""
        at = self._lane.start_at(now, transport=name, use=use, load=load)
        if at > now:
            return at
        limits = ((use.limits.recipients_per_day, self._lane.day, DAY_USED),)
        limits += ((self._discipline.tenant_recipients_per_day, self._lane.tenant, TENANT_DAY_USED),)
        for limit, day, reason in limits:
            at = day.room_at(now, limit=limit, recipients=load.recipients)
            if at > now:
                return _NoRoom(name, at, reason, whole=day.used(now) >= limit)
        ceiling = self._board.ceiling(use.app)
        if use.app and not ceiling.free:
            ceiling.wait(self._news.set)
            return NEVER
        return None

    def _start(self, message: Message, way: _Way, now: Millis) -> None:
        strand = strand_of(message)
        if strand in self._long and next(one for one in self._ready if strand_of(one) == strand) is message:
            self._after[strand] = (message.due_at, message.key)
        self._ready.remove(message)
        self._turns.took(message)
        place = Place(
            key=self._lease.lane,
            fence=self._lease.fence,
            lane=self._lane,
            account=self._lease.account,
            started=self._lane.start(now, transport=way.transport, use=way.use, load=way.load),
            ceiling=self._board.ceiling(way.use.app) if way.use.app else None,
        )
        attempt = Attempt(message, place, self._tools)
        self._hand[message.key] = attempt
        task = asyncio.create_task(attempt.run(), name=f"attempt {message.id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended(message.key))

    def _ended(self, key: int) -> Callable[[asyncio.Task[None]], None]:
        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            attempt = self._hand.pop(key)
            self._doubtful = self._doubtful or attempt.unmarked
            self._from_start = self._from_start or attempt.again
            self._news.set()
            if not task.cancelled():
                task.result()

        return ended

    async def _move(self, elsewhere: Mapping[int, Elsewhere]) -> bool:
        """Put rows where they belong; True where what may be started has changed."""
        gone = await self._moving.move(elsewhere)
        self._ready = [message for message in self._ready if message.key not in gone]
        return True

    async def _wait_for_day(self, no_room: Mapping[int, _NoRoom]) -> bool:
        """Pause what has no room for anybody, put later what is too large for the room that is left."""
        now = self._tools.clock.now()
        whole = {used.transport: used for used in no_room.values() if used.whole}
        if whole:
            alone = len(whole) < len(self._discipline.uses) and self._differ()
            for name, used in whole.items():
                pause = Pause(name if alone else None, used.until, used.reason, blocked=False, since=now)
                await self._tools.effects.rest(self._lane, self._lease.lane, pause, mailbox=self._lease.account)
        for key, used in no_room.items():
            if not used.whole:
                await self._tools.spool.defer(
                    key=key, lane=self._lease.lane, due_at=used.until, at=now, cause=used.reason
                )
        self._ready = [message for message in self._ready if message.key not in no_room]
        return True

    def _differ(self) -> bool:
        """Whether some transport has another day than the others, so that it may go on alone."""
        return len({use.limits.recipients_per_day for use in self._discipline.uses.values()}) > 1

    def _offer(self) -> None:
        """What this lane did not take of an app's room is the next one's."""
        for app in self._apps:
            self._board.ceiling(app).offer()

    async def _save_pauses(self, now: Millis) -> None:
        """Write down what could not be written when it began: the lane would else be leased in vain until its end."""
        for pause in self._lane.unsaved(now):
            await self._tools.spool.pause(lane=self._lease.lane, pause=pause)
            self._lane.saved(pause.transport)

    async def _give_back(self) -> None:
        """Repeated until it is written: a lane that keeps its owner without a runner would never be leased again."""
        while True:
            now = self._tools.clock.now()
            try:
                await self._save_pauses(now)
                await self._tools.spool.release(lane=self._lease.lane, fence=self._lease.fence, now=now)
            except SpoolUnavailableError:
                await asyncio.sleep(SPOOL_PAUSE)
                continue
            if self._opened:
                self._board.release(self._lease, now)
            return
