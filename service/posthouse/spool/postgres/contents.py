"""Contents: one row up to 256 KB; larger ones in chunks, written while the body is still being read (SPOOL §7)."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar, cast

from posthouse.message import Body, Bytes, Content, Millis
from posthouse.ports import ContentUnreadableError, SpoolUnavailableError
from posthouse.records import Added
from posthouse.spool.loads import Stored
from posthouse.spool.postgres.database import Database, Session
from posthouse.spool.rows import ContentTuple, opened_row
from posthouse.spool.sealing import Keyring, Seal

INLINE_BYTES: Final = 256 * 1024
"""Up to here a content is one row."""
CHUNK_BYTES: Final = 256 * 1024
"""The size of a chunk, the last one apart."""
CHUNKS_AT_ONCE: Final = 64
"""Chunks deleted in one transaction."""
_IN_FLIGHT: Final = 2
"""Chunks of one upload that wait for the disk: bounds its memory."""

_R = TypeVar("_R")


class Chunk(NamedTuple):
    """One piece of a body on its way: content, place, time, bytes."""

    content: int
    n: int
    at: Millis
    body: bytes


def inline(content: Content) -> Stored | None:
    """A small content that lies in memory, ready for its row; None for all others."""
    header, body = content.header, content.body
    if not isinstance(body, Bytes) or len(header) + len(body.data) > INLINE_BYTES:
        return None
    return Stored(len(header), len(body.data), "inline", header + body.data)


class Storing:
    """The contents of one submission on their way; leaves no chunk behind unless ``kept`` was told of its commit."""

    def __init__(self, database: Database, *, first: int, at: Millis, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._key = first
        self._at = at
        self._chunked: list[int] = []

    async def store(self, content: Content) -> Stored:
        """Make a content ready for its row; a large body is durable in chunks before this returns."""
        key, self._key = self._key, self._key + 1
        header, body = content.header, content.body
        if len(header) + body.size <= INLINE_BYTES:
            data = b"".join([block async for block in body.blocks()])
            return Stored(len(header), len(data), "inline", header + data)
        self._chunked.append(key)
        seal = self._keyring.new() if self._keyring.seals else None
        return Stored(len(header), await self._upload(key, body, seal), "chunks", header, seal)

    def kept(self, result: _R) -> _R:
        """The commit's answer, passed on."""
        if isinstance(result, Added):
            self._chunked.clear()
        return result

    async def _upload(self, key: int, body: Body, seal: Seal | None) -> int:
        """Two chunks at a time on two connections: each is durable by itself, none of them is a long transaction."""
        waiting: deque[asyncio.Task[None]] = deque()
        size = n = 0
        try:
            async for data in _chunks(body):
                kept = seal.close(n + 1, data) if seal else data
                waiting.append(asyncio.create_task(self._add(Chunk(key, n, self._at, kept))))
                size, n = size + len(data), n + 1
                if len(waiting) >= _IN_FLIGHT:
                    await waiting.popleft()
            while waiting:
                await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return size

    async def _add(self, chunk: Chunk) -> None:
        async with self._database.session() as session:
            await session.run("add_chunk", content=chunk.content, n=chunk.n, at=chunk.at, body=chunk.body)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(fault, SpoolUnavailableError):
            return  # the commit may still come through: then its chunks are needed; else the purge finds them
        for key in self._chunked:
            with contextlib.suppress(SpoolUnavailableError):  # the purge drops what nothing refers to
                async with self._database.session() as session:
                    await drop_chunks(session, key)


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    """The body in pieces of 256 KB."""
    kept = bytearray()
    async for block in body.blocks():
        kept += block
        while len(kept) >= CHUNK_BYTES:
            yield bytes(kept[:CHUNK_BYTES])
            del kept[:CHUNK_BYTES]
    if kept:
        yield bytes(kept)


@dataclass(frozen=True, slots=True)
class ChunkedBody:
    """A large body that is read from the spool chunk by chunk, never as a whole."""

    database: Database
    content: int
    size: int
    seal: Seal | None

    async def blocks(self) -> AsyncIterator[bytes]:
        """Blocks of 256 KB; raises ContentUnreadableError where one is missing or was changed."""
        for n in range(-(-self.size // CHUNK_BYTES)):
            async with self.database.session() as session:
                row = await session.row("chunk", content=self.content, n=n)
            if row is None:
                raise ContentUnreadableError("a part of the content is gone")
            yield self.seal.open(n + 1, cast("bytes", row[0])) if self.seal else cast("bytes", row[0])


async def read(database: Database, key: int, *, keyring: Keyring) -> Content | None:
    """A message's content; None where it was purged; raises ContentUnreadableError."""
    async with database.session() as session:
        row = await session.row("content", id=key)
    if row is None:
        return None
    opened = opened_row(cast("ContentTuple", tuple(row)), keyring)
    if opened.chunked:
        return Content(opened.data, ChunkedBody(database, key, opened.body_size, opened.seal))
    return Content(opened.data[: opened.header_size], Bytes(opened.data[opened.header_size :]))


async def drop_chunks(session: Session, content: int) -> None:
    """Delete a content's chunks, a few in each transaction, if no message refers to them."""
    found: Sequence[object] = [None] * CHUNKS_AT_ONCE
    while len(found) == CHUNKS_AT_ONCE:
        found = await session.rows("drop_chunks", content=content)
