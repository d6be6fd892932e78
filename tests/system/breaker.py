"""A raw TLS server that takes a whole POST and then breaks instead of answering it."""

import asyncio
import contextlib
import re
import socket
import struct
from types import TracebackType
from typing import Self

from posthouse.sandbox.certificates import authority, server_context
from posthouse.sandbox.emulator import Emulator

ENDS = {"end": b"", "garbage": b"\x00\xffnothing HTTP\r\n\r\n", "half a status line": b"HTTP/1.1 20"}
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Breaker:
    """Counts POSTs; ``end`` says how each of them breaks. Its certificate is of the emulator's authority."""

    def __init__(self, emulator: Emulator, end: str) -> None:
        made, _ = authority(emulator.options.directory)
        self._context = server_context(made, host="127.0.0.1")
        self._end = end
        self._server: asyncio.Server | None = None
        self.posts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        """What stands in for Graph."""
        assert self._server is not None
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1.0"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            await reader.readexactly(int(found[1]) if found else 0)
            self.posts += head.startswith(b"POST")
            if self._end == "reset":
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            writer.write(ENDS[self._end])
            await writer.drain()
        writer.close()
