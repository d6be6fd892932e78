"""Contents: one row up to 256 KB; larger ones in chunks, written while the body is still being read (SPOOL §7)."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar, cast

from posthouse.message import Body, Bytes, Content, Millis
from posthouse.ports import Clock, ContentUnreadableError, SpoolUnavailableError
from posthouse.records import Added, Submission
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


def stored_key(submission: Submission) -> int | None:
    """The key of a body that was kept before its message; raises ValueError where it is not the only one."""
    body = submission.messages[0].content.body
    if not isinstance(body, StoredBody):
        return None
    if len(submission.messages) > 1:
        raise ValueError("a stored body belongs to one message alone")
    return body.content


def inline(content: Content) -> Stored | None:
    """A small content that lies in memory, ready for its row; None for all others."""
    header, body = content.header, content.body
    if not isinstance(body, Bytes) or len(header) + len(body.data) > INLINE_BYTES:
        return None
    return Stored(len(header), len(body.data), "inline", header + body.data)


class Storing:
    """The contents of one submission on their way; leaves no chunk behind unless ``kept`` was told of its commit."""

    def __init__(self, database: Database, *, first: int, clock: Clock, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._key = first
        self._clock = clock
        self._chunked: list[int] = []
        self.asked = False
        """Whether its commit was asked for: only its answer tells then whether the chunks are needed."""

    async def store(self, content: Content) -> Stored:
        """Make a content ready for its row; a large body is durable in chunks before this returns."""
        key, self._key = self._key, self._key + 1
        header, body = content.header, content.body
        if isinstance(body, StoredBody):
            return Stored(len(header), body.size, "chunks", header, body.seal)
        if len(header) + body.size <= INLINE_BYTES:
            data = b"".join([block async for block in body.blocks()])
            return Stored(len(header), len(data), "inline", header + data)
        self._chunked.append(key)
        seal = self._keyring.new() if self._keyring.seals else None
        size = await upload(self._database, key, body.blocks(), seal=seal, clock=self._clock)
        return Stored(len(header), size, "chunks", header, seal)

    def kept(self, result: _R) -> _R:
        """The commit's answer, passed on."""
        if isinstance(result, Added):
            self._chunked.clear()
        return result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is not None and self.asked:
            return  # the commit may still come through: then its chunks are needed; else the purge finds them
        for key in self._chunked:
            await drop_unused(self._database, key)


async def upload(database: Database, key: int, blocks: AsyncIterator[bytes], *, seal: Seal | None, clock: Clock) -> int:
    """Write a body's chunks, two at a time on two connections; bytes when all are durable. None is a long transaction."""
    waiting: deque[asyncio.Task[None]] = deque()
    size = n = 0
    try:
        async for data in _chunks(blocks):
            kept = seal.close(n + 1, data) if seal else data
            waiting.append(asyncio.create_task(_add(database, Chunk(key, n, clock.now(), kept))))
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


async def _add(database: Database, chunk: Chunk) -> None:
    async with database.session() as session:
        await session.run("add_chunk", content=chunk.content, n=chunk.n, at=chunk.at, body=chunk.body)


async def _chunks(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body in pieces of 256 KB."""
    kept = bytearray()
    async for block in blocks:
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

    def blocks(self) -> AsyncIterator[bytes]:
        """Blocks of 256 KB; raises ContentUnreadableError where one is missing or was changed."""
        return self.span(0, self.size)

    async def span(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The same from ``start`` to before ``end``; only the chunks in between are read."""
        for n in range(start // CHUNK_BYTES, -(-end // CHUNK_BYTES)):
            at = n * CHUNK_BYTES
            yield (await self._chunk(n))[max(start - at, 0) : end - at]

    async def _chunk(self, n: int) -> bytes:
        async with self.database.session() as session:
            row = await session.row("chunk", content=self.content, n=n)
        if row is None:
            raise ContentUnreadableError("a part of the content is gone")
        body = cast("bytes", row[0])
        return self.seal.open(n + 1, body) if self.seal else body


@dataclass(frozen=True, slots=True)
class StoredBody(ChunkedBody):
    """A body that was kept before its message: the message that is added with it takes its key."""


class Keeping:
    """One body that is kept while it arrives; dropped at the end unless a message was asked to be added with it."""

    def __init__(self, database: Database, key: int, *, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._key = key
        self._seal = keyring.new() if keyring.seals else None
        self._clock = clock

    @asynccontextmanager
    async def run(
        self, blocks: AsyncIterator[bytes], *, small: bool, in_doubt: AbstractSet[int]
    ) -> AsyncGenerator[Body]:
        """The body; with ``small`` one that fits its message's row lies in memory. ``in_doubt``: see ``Storing.asked``."""
        chunks = _chunks(blocks)
        first = await anext(chunks, b"")
        if len(first) < CHUNK_BYTES and (small or not first):
            yield Bytes(first)
            return
        key, seal = self._key, self._seal
        try:
            size = await upload(self._database, key, _again(first, chunks), seal=seal, clock=self._clock)
            yield StoredBody(self._database, key, size, seal)
        finally:
            if key not in in_doubt:
                await drop_unused(self._database, key)


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block


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


async def drop_unused(database: Database, content: int) -> None:
    """Delete a content's chunks if no message refers to them; what cannot be deleted now the purge finds."""
    with contextlib.suppress(SpoolUnavailableError):
        async with database.session() as session:
            await drop_chunks(session, content)


async def drop_chunks(session: Session, content: int) -> None:
    """Delete a content's chunks, a few in each transaction, if no message refers to them."""
    found: Sequence[object] = [None] * CHUNKS_AT_ONCE
    while len(found) == CHUNKS_AT_ONCE:
        found = await session.rows("drop_chunks", content=content)
