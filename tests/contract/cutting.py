"""Stands between a spool and its database, and cuts the line where a test says: a real connection that really breaks."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from posthouse.spool.postgres.waking import CHANNEL
from tests.contract import spools


class Line:
    """Passes all on; what holds ``needle`` reaches the database, and its answer never comes back.

    A ``deaf`` one keeps from the client what the database tells of itself, as a pooler in transaction mode does.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.needle = b""
        self.deaf = False
        self.cuts = 0
        self.open = True
        self._writers: set[asyncio.StreamWriter] = set()

    def close(self) -> None:
        """The database cannot be reached any more."""
        self.open = False
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if not self.open:
            writer.transport.abort()
            return
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, forth}
        asked = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, forth, asked))
                both.create_task(self._answer(back, writer, asked))
        except* ConnectionError:
            pass
        finally:
            self._writers -= {writer, forth}
            writer.transport.abort()
            forth.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if self.needle and self.needle in data:
                self.needle = b""
                asked.set()
            forth.write(data)
        raise ConnectionResetError

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await back.read(65_536):
            if asked.is_set():
                self.cuts += 1
                raise ConnectionAbortedError
            if self.deaf and CHANNEL.encode() in data:
                continue
            writer.write(data)
        raise ConnectionResetError


@asynccontextmanager
async def line(folder: Path) -> AsyncGenerator[Line]:
    """The spool of this folder speaks to its database by a line that can be cut."""
    address = spools.DATABASES[folder]
    parts = urlsplit(address)
    assert parts.port is not None
    made = Line(parts.port)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    spools.DATABASES[folder] = address.replace(f":{parts.port}/", f":{port}/")
    try:
        yield made
    finally:
        spools.DATABASES[folder] = address
        server.close()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
