"""The heartbeat of one worker: how long others must believe that it lives, and so how long its leases hold.

The database judges by its own clock; this process knows by its monotonic clock how much of that is left at least.
Nothing begins on the wire later than 5 s before the end (PROMISES §3).
"""

import asyncio
import contextlib
import platform
from importlib.metadata import version
from typing import Final

from posthouse.ports import Clock, SpoolUnavailableError
from posthouse.spool.postgres.database import Database, Session, drop, explained

LIFE_SECONDS: Final = 10.0
"""How long a beat lasts: the time after which another worker takes a dead one's lanes."""
BEAT_SECONDS: Final = LIFE_SECONDS / 4


class Heart:
    """Beats from ``start`` to ``stop``, on a connection of its own; ``worker`` is the row that stands for this process."""

    def __init__(self, database: Database, *, boot: str, clock: Clock) -> None:
        self._database = database
        self._boot = boot
        self._clock = clock
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self.worker = 0

    async def start(self, *, sends: bool) -> None:
        """Be a worker from now on; raises SpoolUnavailableError."""
        before = self._clock.monotonic()
        async with self._database.session() as session:
            found = await session.number(
                "register",
                boot=self._boot,
                host=platform.node(),
                version=version("posthouse"),
                sends=sends,
                at=self._clock.now(),
                millis=int(LIFE_SECONDS * 1000),
            )
        self.worker = found or 0
        self._until = before + LIFE_SECONDS
        self._task = asyncio.create_task(self._beat(), name="spool heartbeat")

    def left(self) -> float:
        """Seconds for which the leases hold at least."""
        return self._until - self._clock.monotonic()

    async def stop(self) -> None:
        """Leave: the lanes are free at once."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()
        with contextlib.suppress(SpoolUnavailableError):  # then the others wait for the last beat to end
            async with self._database.session() as session:
                await session.run("retire", worker=self.worker)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            before = self._clock.monotonic()
            try:
                async with asyncio.timeout(LIFE_SECONDS / 2):
                    await self._once()
            except (SpoolUnavailableError, TimeoutError):
                await self._disconnect()
                continue
            self._until = before + LIFE_SECONDS

    async def _once(self) -> None:
        if self._session is None:
            self._session = await self._database.connect()
        with explained():
            await self._session.run("beat", worker=self.worker, millis=int(LIFE_SECONDS * 1000))

    async def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await drop(session)
