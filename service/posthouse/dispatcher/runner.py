"""Sends for one lane as long as it is leased: takes only what can be sent at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from posthouse.delivery import choose
from posthouse.dispatcher.attempt import SPOOL_PAUSE, Attempt, Place, Tools
from posthouse.lanes import NEVER, Board, Lane, Use
from posthouse.message import Message, Millis
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Lease

PEEK = 16
LONGEST_WAIT = 30.0
"""Seconds after which a lane looks again whatever it waits for, so that a jump of the clock cannot strand it."""
EXPIRED_AT_ONCE = 100
PATIENCE: Millis = 1_000
"""A lane that must wait longer than this for its next row is given back."""


class LaneRunner:
    """Owns a lane; ``run`` returns when the lane is drained, paused or told to stop."""

    def __init__(self, lease: Lease, *, tools: Tools, board: Board, uses: Mapping[str, Use]) -> None:
        self._lease = lease
        self._tools = tools
        self._board = board
        self._uses = uses
        self._lane = board.open(lease.account, starts=lease.starts, pauses=lease.pauses)
        self._news = asyncio.Event()
        self._watched: set[Lane] = {self._lane}
        self._without: frozenset[tuple[str, ...]] = frozenset()
        self._stale = True
        self._stopping = False
        self._doubtful = False
        self._lost = False
        self._ready: deque[Message] = deque()
        self._hand: dict[int, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """The lane's rows changed."""
        self._stale = True
        self._news.set()

    def stop(self) -> None:
        """Take no new row."""
        self._stopping = True
        self._news.set()

    def cut(self) -> None:
        """End the sends that are still under way."""
        for attempt in tuple(self._hand.values()):
            attempt.cut()

    async def run(self) -> None:
        """Send until there is nothing to send for now, then give the lane back."""
        self._lane.watch(self._news.set)
        self._tools.gates.watch(self._news.set)
        try:
            await self._loop()
        finally:
            self._tools.gates.unwatch(self._news.set)
            if self._tasks:
                await asyncio.wait(self._tasks)
            for lane in self._watched:
                lane.unwatch(self._news.set)
            if not self._lost:
                await self._give_back()

    async def _loop(self) -> None:
        look_every = self._tools.spool.look_every or LONGEST_WAIT
        while not self._stopping:
            self._news.clear()
            if self._doubtful and not await self._still_ours():
                return
            at = await self._fill()
            now = self._tools.clock.now()
            if not self._hand and not self._stale and self._idle_until(at, now):
                return
            wait = LONGEST_WAIT if at is None or at >= NEVER else (at - now) / 1000
            try:
                await asyncio.wait_for(self._news.wait(), min(max(wait, 0.0), look_every))
            except TimeoutError:
                self._stale = True

    async def _still_ours(self) -> bool:
        """A row that could not be marked may mean that another worker has taken the lane from one that was silent."""
        self._doubtful = False
        self._lost = not await self._tools.spool.holds(lane=self._lease.lane, fence=self._lease.fence)
        return not self._lost

    def _idle_until(self, at: Millis | None, now: Millis) -> bool:
        """Whether another could as well take the lane later: it is empty, or paused for long."""
        if at is None:
            return True
        if at >= NEVER:
            return False  # a slot will fall free
        waiting_for_pace_or_circuit = self._ready and self._lane.paused(now) is None
        return at > now + PATIENCE and not waiting_for_pace_or_circuit

    async def _fill(self) -> Millis | None:
        """Start all that may start now; when to come back, None where only an event can bring something."""
        while not self._stopping:
            if not self._ready or self._stale:
                await self._peek()
            if not self._ready:
                return await self._tools.spool.next_in(lane=self._lease.lane) if not self._hand else None
            at = self._start_one()
            if at is not None and not await self._look_behind():
                return at
        return None

    async def _peek(self, without: frozenset[tuple[str, ...]] = frozenset()) -> None:
        self._stale = False
        self._without = without
        now = self._tools.clock.now()
        rows = await self._tools.spool.peek(
            lane=self._lease.lane, now=now, most=PEEK + len(self._hand), without=without
        )
        if any(message.expires_at is not None and message.expires_at <= now for message in rows):
            await self._tools.spool.expire(now=now, most=EXPIRED_AT_ONCE)
        self._ready = deque()
        for message in rows:
            over = message.expires_at is not None and message.expires_at <= now
            if message.key in self._hand or over:
                continue
            route = tuple(name for name in message.route if name in self._uses)
            if route:
                self._ready.append(replace(message, route=route))
            else:
                await self._tools.spool.hold(key=message.key, id=message.id, at=now, cause="no_transport")

    async def _look_behind(self) -> bool:
        """Whether rows behind those that have no usable transport now can go; one such route must not hide the rest."""
        now = self._tools.clock.now()
        unusable = self._unusable(now)
        stuck = frozenset(m.route for m in self._ready if not isinstance(choose(m, unusable), str))
        if not stuck or stuck <= self._without or any(m.route not in stuck for m in self._ready):
            return False
        before = self._ready
        await self._peek(self._without | stuck)
        if not self._ready:
            self._ready = before
            return False
        return True

    def _unusable(self, now: Millis) -> dict[str, Millis]:
        return self._tools.gates.unusable(now) | self._lane.unusable(now)

    def _start_one(self) -> Millis | None:
        """Start the first row that can go now (None), or say when to come back."""
        now = self._tools.clock.now()
        unusable = self._unusable(now)
        earliest = NEVER
        for message in self._ready:
            place = self._way(message, now, unusable)
            if isinstance(place, Place):
                self._ready.remove(message)
                self._start(message, place, now)
                return None
            earliest = min(earliest, place)
        return earliest

    def _way(self, message: Message, now: Millis, unusable: Mapping[str, Millis]) -> Place | Millis:
        """By which transport the message starts now, or when to ask again."""
        refused = dict(unusable)
        while True:
            name = choose(message, refused)
            if not isinstance(name, str):
                return name
            place = self._place(message, name)
            at = max(lane.start_at(now, transport=name, use=place.use) for lane in place.lanes)
            if at > now:
                return at
            alone = all(other == name or other in unusable for other in message.route)
            if self._tools.gates.admits(name, message, now, alone=alone):
                return place
            refused[name] = now + PATIENCE

    def _place(self, message: Message, name: str) -> Place:
        account = self._tools.accounts(name, message.mailbox)
        lanes: tuple[Lane, ...] = (self._lane,)
        if account != self._lease.account:
            other = self._board.lane(account)
            other.watch(self._news.set)
            self._watched.add(other)
            lanes = (self._lane, other)
        return Place(
            lane=self._lease.lane,
            fence=self._lease.fence,
            lanes=lanes,
            transport=name,
            account=account,
            use=self._uses[name],
        )

    def _start(self, message: Message, place: Place, now: Millis) -> None:
        for lane in place.lanes:
            lane.start(now, transport=place.transport, use=place.use)
        attempt = Attempt(message, place, self._tools)
        self._hand[message.key] = attempt
        task = asyncio.create_task(attempt.run(), name=f"attempt {message.id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended(message.key, attempt))

    def _ended(self, key: int, attempt: Attempt) -> Callable[[asyncio.Task[None]], None]:
        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._doubtful = self._doubtful or attempt.unmarked
            self._hand.pop(key, None)
            self._news.set()
            if not task.cancelled():
                task.result()

        return ended

    async def _give_back(self) -> None:
        """Repeated until it is written: a lane that keeps its owner without a runner would never be leased again."""
        while True:
            now = self._tools.clock.now()
            try:
                await self._tools.spool.release(lane=self._lease.lane, fence=self._lease.fence, now=now)
            except SpoolUnavailableError:
                await asyncio.sleep(SPOOL_PAUSE)
                continue
            self._board.forget_idle(self._lease.account, now)
            return
