"""Sends for one lane as long as it is leased: takes only what can be sent at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from posthouse.delivery import choose
from posthouse.dispatcher.attempt import Attempt, Place, Tools
from posthouse.lanes import NEVER, Board, Lane, Use
from posthouse.message import Message, Millis
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Lease

PEEK = 16
LONGEST_WAIT = 30.0
"""Seconds after which a lane looks again whatever it waits for, so that a jump of the clock cannot strand it."""
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
        self._stale = True
        self._stopping = False
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
            self._lane.unwatch(self._news.set)
            await self._give_back()

    async def _loop(self) -> None:
        while not self._stopping:
            self._news.clear()
            at = await self._fill()
            now = self._tools.clock.now()
            if not self._hand and not self._stale and self._idle_until(at, now):
                return
            wait = LONGEST_WAIT if at is None or at >= NEVER else (at - now) / 1000
            try:
                await asyncio.wait_for(self._news.wait(), min(max(wait, 0.0), LONGEST_WAIT))
            except TimeoutError:
                self._stale = True

    def _idle_until(self, at: Millis | None, now: Millis) -> bool:
        """Whether another could as well take the lane later: it is empty, or paused for long."""
        if at is None:
            return True
        waiting_for_pace_or_circuit = self._ready and self._lane.paused(now, "") is None
        return at > now + PATIENCE and not waiting_for_pace_or_circuit

    async def _fill(self) -> Millis | None:
        """Start all that may start now; when to come back, None where only an event can bring something."""
        while not self._stopping:
            if not self._ready or self._stale:
                await self._peek()
            if not self._ready:
                return await self._tools.spool.next_in(lane=self._lease.lane) if not self._hand else None
            at = self._start_one()
            if at is not None:
                return at
        return None

    async def _peek(self) -> None:
        self._stale = False
        rows = await self._tools.spool.peek(
            lane=self._lease.lane, now=self._tools.clock.now(), most=PEEK + len(self._hand)
        )
        self._ready = deque(message for message in rows if message.key not in self._hand)

    def _start_one(self) -> Millis | None:
        """Start the first row that can go now (None), or say when to come back."""
        now = self._tools.clock.now()
        unusable = self._tools.gates.unusable(now)
        earliest = NEVER
        for message in self._ready:
            name = choose(message, unusable)
            if not isinstance(name, str):
                earliest = min(earliest, name)
                continue
            place = self._place(message, name)
            at = max(lane.start_at(now, transport=name, use=self._uses[name]) for lane in place.lanes)
            if at > now:
                earliest = min(earliest, at)
                continue
            if not self._tools.gates.admits(name, message, now):
                earliest = min(earliest, now + PATIENCE)
                continue
            self._ready.remove(message)
            self._start(message, place, now)
            return None
        return earliest

    def _place(self, message: Message, name: str) -> Place:
        account = self._tools.accounts(name, message.mailbox)
        lanes: tuple[Lane, ...] = (self._lane,)
        if account != self._lease.account:
            lanes = (self._lane, self._board.lane(account))
        return Place(lane=self._lease.lane, fence=self._lease.fence, lanes=lanes, transport=name, account=account)

    def _start(self, message: Message, place: Place, now: Millis) -> None:
        for lane in place.lanes:
            lane.start(now, transport=place.transport, use=self._uses[place.transport])
        attempt = Attempt(message, place, self._tools)
        self._hand[message.key] = attempt
        task = asyncio.create_task(attempt.run(), name=f"attempt {message.id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended(message.key))

    def _ended(self, key: int) -> Callable[[asyncio.Task[None]], None]:
        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._hand.pop(key, None)
            self._news.set()
            if not task.cancelled():
                task.result()

        return ended

    async def _give_back(self) -> None:
        now = self._tools.clock.now()
        try:
            await self._tools.spool.release(lane=self._lease.lane, fence=self._lease.fence, now=now)
        except SpoolUnavailableError:
            return
        self._board.forget_idle(self._lease.account, now)
