"""Leases lanes and runs them; on stop takes no new mail, lets attempts in flight finish, gives the lanes back."""

import asyncio
import contextlib
import logging

from posthouse.board import Board
from posthouse.dispatcher.attempt import Tools
from posthouse.dispatcher.runner import LONGEST_WAIT, LaneRunner
from posthouse.limits import Discipline
from posthouse.message import Millis
from posthouse.pace import DAY_HOURS, HOUR
from posthouse.ports import SpoolUnavailableError
from posthouse.telemetry import SERVICE_FAULT, log

CUT_SECONDS = 5.0
"""How long attempts that were cut may take to write down that they are unconfirmed."""
LEASES = 64
"""Lanes taken in one round."""
UNHEARD_WAIT = 1.0
"""Seconds between looks at lanes without an owner where nobody tells that one of them woke."""
HEAR_EVERY = 3.0
"""Seconds after which at the latest a lane's owner hears what a person said to another process."""
HEAR_PAUSE = 0.25
"""Seconds between two times of listening, however much goes on."""
REMEMBERED: Millis = 3_600_000
"""How old a word is that is still heard, whatever clock its process had; a new owner reads the latest anyway."""


class Dispatcher:
    """Owns time for the messages: every attempt starts here."""

    def __init__(self, *, owner: str, tools: Tools, board: Board, discipline: Discipline) -> None:
        self._owner = owner
        self._tools = tools
        self._board = board
        self._discipline = discipline
        self._runners: dict[int, LaneRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._talk = asyncio.Event()
        self._leasing = asyncio.Lock()
        self._stopping = False
        self._knows_day = False

    def wake(self, lanes: frozenset[int]) -> None:
        """These lanes have something new; called by the spool after a commit."""
        for lane in lanes:
            runner = self._runners.get(lane)
            if runner is None:
                self._news.set()
            else:
                runner.wake()
                self._talk.set()

    def live(self) -> frozenset[int]:
        """The messages whose attempts are under way here."""
        return frozenset(key for runner in self._runners.values() for key in runner.live())

    async def run(self) -> None:
        """Lease and run lanes until ``stop``."""
        while not self._stopping:
            self._news.clear()
            try:
                if not self._knows_day:
                    await self._learn_day()
                await self._round()
                self._tools.meter.turned(self._tools.clock.now())
                pause = await self._pause()
            except SpoolUnavailableError:
                pause = 1.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def listen(self) -> None:
        """Hear what people say about lanes and what other workers sent; runs until cancelled.

        Soon after a lane was woken, and at the latest every few seconds: who speaks may do so to another process.
        """
        while True:
            self._talk.clear()
            with contextlib.suppress(SpoolUnavailableError):
                await self._hear()
            await asyncio.sleep(HEAR_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEAR_EVERY - HEAR_PAUSE):
                    await self._talk.wait()

    async def _learn_day(self) -> None:
        """What all accounts used of the tenant's day."""
        if self._discipline.tenant_recipients_per_day:
            now = self._tools.clock.now()
            self._board.tenant.merge(await self._tools.spool.recipient_hours(since=now - DAY_HOURS * HOUR), now)
        self._knows_day = True

    async def _hear(self) -> None:
        now, spool = self._tools.clock.now(), self._tools.spool
        await self._learn_day()
        if self._runners:
            for lane, told in (await spool.spoken(since=now - REMEMBERED)).items():
                runner = self._runners.get(lane)
                if runner is not None:
                    runner.hear(told)

    async def stop(self, *, seconds: float) -> None:
        """Drain: wait ``seconds`` for attempts in flight, then cut them; the lanes are given back."""
        self._stopping = True
        self._news.set()
        async with self._leasing:  # lanes whose lease is under way have their runner then, and hear of it too
            for runner in self._runners.values():
                runner.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for runner in tuple(self._runners.values()):
            runner.cut()
        if self._tasks:
            # a spool that cannot be written must not keep the service: what it says of ``sending`` stays true
            await asyncio.wait(self._tasks, timeout=CUT_SECONDS)

    async def _round(self) -> None:
        async with self._leasing:
            await self._lease_all()

    async def _lease_all(self) -> None:
        while not self._stopping:
            leases = await self._tools.spool.lease(
                owner=self._owner, now=self._tools.clock.now(), most=LEASES, running=self._runners.keys()
            )
            for lease in leases:
                runner = LaneRunner(lease, tools=self._tools, board=self._board, discipline=self._discipline)
                self._runners[lease.lane] = runner
                task = asyncio.create_task(self._serve(lease.lane, runner), name=f"lane {lease.lane}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if len(leases) < LEASES:
                return

    async def _pause(self) -> float:
        spool = self._tools.spool
        longest = LONGEST_WAIT if spool.hears else UNHEARD_WAIT
        due = await spool.next_due()
        if due is None:
            return longest
        return min(max((due - self._tools.clock.now()) / 1000, 0.0), longest)

    async def _serve(self, lane: int, runner: LaneRunner) -> None:
        try:
            await runner.run()
        except Exception as fault:  # noqa: BLE001 - one lane's fault must not stop the others; it is leased again
            log(SERVICE_FAULT, level=logging.ERROR, lane=lane, error=type(fault).__name__, detail=str(fault)[:200])
            await asyncio.sleep(1.0)
        finally:
            if self._runners.get(lane) is runner:  # the lane may be leased again before its release was heard of
                del self._runners[lane]
            self._news.set()
