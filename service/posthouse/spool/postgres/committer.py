"""Group commit: what waits at one moment is written by one statement (SPOOL §6.2).

Each committer has a connection of its own. No timer: the statement under way is the batching window. A statement
whose answer was lost is repeated on a new connection; the verbs find what they wrote before.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from asyncpg import exceptions as pg

from posthouse.ports import Clock, SpoolUnavailableError
from posthouse.spool.postgres.database import Database, Session, drop, explained

GROUP_ENTRIES: Final = 256
GROUP_BYTES: Final = 2 * 1024 * 1024
AGAIN_SECONDS: Final = 8.0
"""How long a statement whose answer was lost is repeated before those who wait are told that nobody knows."""
PAUSE_SECONDS: Final = 0.2

_L = TypeVar("_L")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True, eq=False)
class _Entry(Generic[_L, _R]):
    load: _L
    size: int
    future: asyncio.Future[_R]


class Committer(Generic[_L, _R]):
    """Writes loads of one kind in groups.

    ``work`` gives one result per load, in order, after its commit; ``apart`` names what may stand in a group only once;
    ``told`` is called after each commit.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Session, Sequence[_L]], Awaitable[Sequence[_R]]],
        *,
        apart: Callable[[_L], Hashable] | None,
        clock: Clock,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._work = work
        self._apart = apart
        self._clock = clock
        self._told = told
        self._waiting: deque[_Entry[_L, _R]] = deque()
        self._news = asyncio.Event()
        self._session: Session | None = None
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="spool committer")

    def submit(self, load: _L, *, size: int = 0) -> asyncio.Future[_R]:
        """Queue a load; the future is done when it is durable. What was queued is written, whoever waits for it."""
        if self._closed:
            raise SpoolUnavailableError("the spool is closed")
        future: asyncio.Future[_R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(load, size, future))
        self._news.set()
        return future

    async def close(self) -> None:
        """Write what waits and close the connection."""
        self._closed = True
        self._news.set()
        await self._task
        if self._session is not None:
            await drop(self._session)

    async def _run(self) -> None:
        while self._waiting or not self._closed:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            await self._write(self._group())

    def _group(self) -> list[_Entry[_L, _R]]:
        """What waits, up to a group's size; an entry whose like is in the group already begins the next one."""
        group: list[_Entry[_L, _R]] = []
        names: set[Hashable] = set()
        size = 0
        while self._waiting and len(group) < GROUP_ENTRIES and size < GROUP_BYTES:
            name = None if self._apart is None else self._apart(self._waiting[0].load)
            if name is not None and name in names:
                break
            names.add(name)
            group.append(self._waiting.popleft())
            size += group[-1].size
        return group

    async def _write(self, group: Sequence[_Entry[_L, _R]]) -> None:
        try:
            results = await self._until_answered([entry.load for entry in group])
        except SpoolUnavailableError as fault:
            _refuse(group, fault)
        except (pg.PostgresError, ValueError, TypeError) as fault:
            if len(group) == 1:
                _refuse(group, fault)
                return
            for entry in group:  # one spoils the group: each alone
                await self._write([entry])
        else:
            for entry, result in zip(group, results, strict=True):
                if not entry.future.done():
                    entry.future.set_result(result)
            self._told()

    async def _until_answered(self, loads: Sequence[_L]) -> Sequence[_R]:
        """Raises SpoolUnavailableError where the store cannot be reached, or did not answer for too long."""
        until: float | None = None
        while True:
            try:
                session = await self._connected()
                with explained():
                    return await self._work(session, loads)
            except SpoolUnavailableError as fault:
                lost = self._session is not None
                await self._disconnect()
                now = self._clock.monotonic()
                if until is None and (not lost or fault.full):
                    raise  # nothing was asked yet, or nothing can be kept: that is certain
                until = now + AGAIN_SECONDS if until is None else until
                if now >= until:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def _connected(self) -> Session:
        if self._session is None or self._session.connection.is_closed():
            self._session = None
            self._session = await self._database.connect()
        return self._session

    async def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await drop(session)


def _refuse(group: Sequence[_Entry[_L, _R]], fault: Exception) -> None:
    for entry in group:
        if not entry.future.done():
            entry.future.set_exception(fault)
