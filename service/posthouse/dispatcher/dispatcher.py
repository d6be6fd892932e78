"""Leases lanes and runs them; on stop takes no new mail, lets attempts in flight finish, gives the lanes back."""

import asyncio
import logging
from collections.abc import Mapping

from posthouse.dispatcher.attempt import Tools
from posthouse.dispatcher.runner import LONGEST_WAIT, LaneRunner
from posthouse.lanes import Board, Use
from posthouse.ports import SpoolUnavailableError
from posthouse.telemetry import SERVICE_FAULT, log

CUT_SECONDS = 5.0
"""How long attempts that were cut may take to write down that they are unconfirmed."""
LEASES = 64
"""Lanes taken in one round."""
UNHEARD_WAIT = 1.0
"""Seconds between looks at lanes without an owner where nobody tells that one of them woke."""


class Dispatcher:
    """Owns time for the messages: every attempt starts here."""

    def __init__(self, *, owner: str, tools: Tools, board: Board, uses: Mapping[str, Use]) -> None:
        self._owner = owner
        self._tools = tools
        self._board = board
        self._uses = uses
        self._runners: dict[int, LaneRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._leasing = asyncio.Lock()
        self._stopping = False

    def wake(self, lanes: frozenset[int]) -> None:
        """These lanes have something new; called by the spool after a commit."""
        for lane in lanes:
            runner = self._runners.get(lane)
            if runner is None:
                self._news.set()
            else:
                runner.wake()

    async def run(self) -> None:
        """Lease and run lanes until ``stop``."""
        while not self._stopping:
            self._news.clear()
            try:
                await self._round()
                pause = await self._pause()
            except SpoolUnavailableError:
                pause = 1.0
            try:
                await asyncio.wait_for(self._news.wait(), pause)
            except TimeoutError:
                continue

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
                runner = LaneRunner(lease, tools=self._tools, board=self._board, uses=self._uses)
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
            del self._runners[lane]
            self._news.set()
