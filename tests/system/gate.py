"""A TCP gate before a server of this machine: lets through, refuses, or answers without TLS."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from tests.system.harness import free_port


class Gate:
    """Stands before ``host:port``; ``open``, ``refuse`` and ``garble`` change what happens to new connections."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._garbling = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def open(self) -> None:
        """Let through."""
        self._garbling = False
        if self._server is None:
            self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)

    async def garble(self) -> None:
        """Answer every new connection with words that are not TLS."""
        await self.open()
        self._garbling = True
        self._cut()

    async def refuse(self) -> None:
        """Refuse connections and cut those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()
        for task in tuple(self._tasks):
            with contextlib.suppress(OSError):
                await task

    def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self._garbling:
                writer.write(b"HTTP/1.1 400 this is not TLS\r\n\r\n")
                await writer.drain()
                return
            out_reader, out_writer = await asyncio.open_connection(*self._target)
            self._writers.add(out_writer)
            try:
                await asyncio.gather(_pump(reader, out_writer), _pump(out_reader, writer))
            finally:
                self._writers.discard(out_writer)
                out_writer.close()
        except OSError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
        writer.close()
