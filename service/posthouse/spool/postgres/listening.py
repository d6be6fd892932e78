"""Hears from the other processes that lanes got something to do; where it cannot listen, somebody must look."""

import asyncio
import contextlib
import secrets
from typing import Final

import asyncpg
from asyncpg import exceptions as pg

from posthouse.ports import SpoolUnavailableError
from posthouse.spool.postgres.database import Database, Session, drop
from posthouse.spool.postgres.waking import CHANNEL, Waker

ANY: Final = frozenset({0})
"""No lane has this id: whoever hears of it looks at all."""
AGAIN_SECONDS: Final = 1.0
PROOF_SECONDS: Final = 2.0


class Listener:
    """A connection that listens, made again when it is lost; ``hears`` says whether what is told arrives."""

    def __init__(self, database: Database, waker: Waker) -> None:
        self._database = database
        self._waker = waker
        self._task: asyncio.Task[None] | None = None
        self._proof = asyncio.Event()
        self._nonce = ""
        self.hears = False

    def start(self) -> None:
        """Listen from now on."""
        self._task = asyncio.create_task(self._run(), name="spool listener")

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(SpoolUnavailableError, pg.PostgresError, pg.InterfaceError, OSError, TimeoutError):
                await self._listen()
            self.hears = False
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        session = await self._database.connect(direct=True)
        ended = asyncio.Event()
        try:
            session.connection.add_termination_listener(lambda _connection: ended.set())
            await session.connection.add_listener(CHANNEL, self._hear)
            self.hears = await self._proves(session)
            self._waker.tell(ANY)  # whatever was told meanwhile was not heard
            await ended.wait()
        finally:
            await drop(session)

    async def _proves(self, session: Session) -> bool:
        """Whether a word of ours comes back: through a pooler in transaction mode none does."""
        self._nonce, _ = "?" + secrets.token_hex(8), self._proof.clear()
        async with self._database.session() as other:
            await other.run("tell", channel=CHANNEL, word=self._nonce)
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                await self._proof.wait()
        except TimeoutError:
            return False
        return not session.connection.is_closed()

    def _hear(self, _connection: asyncpg.Connection, _pid: int, _channel: str, payload: str) -> None:
        if payload.startswith("?"):
            if payload == self._nonce:
                self._proof.set()
            return
        self._waker.tell(frozenset(int(lane) for lane in payload.split(",") if lane.isdigit()))
