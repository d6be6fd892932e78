"""Contents: one row up to 256 KB; larger ones in chunks, written while the body is still being read (SPOOL §7).

Chunks are written by ``upload`` and read by ``ChunkedBody`` alone, rows by ``Stored`` and ``read``.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from posthouse.message import Body, Bytes, Content
from posthouse.ports import ContentUnreadableError, SpoolUnavailableError
from posthouse.records import Added
from posthouse.spool.loads import Stored
from posthouse.spool.rows import ContentTuple, opened_row
from posthouse.spool.sealing import Keyring, Seal
from posthouse.spool.sqlite.committing import Job, Readers, Verb, Writer
from posthouse.spool.sqlite.database import Database

INLINE_BYTES: Final = 256 * 1024
"""Up to here a content is one row."""
CHUNK_BYTES: Final = 256 * 1024
"""The size of a chunk, the last one apart."""
CHUNKS_AT_ONCE: Final = 64
"""Chunks deleted in one transaction."""
_IN_FLIGHT: Final = 2
"""Chunks of one upload that wait for the disk: bounds its memory."""

_R = TypeVar("_R")
_Chunk = tuple[int, int, bytes, Seal | None]


def _add_chunks(db: Database, chunks: Sequence[_Chunk]) -> Sequence[None]:
    db.forget_pages()
    for content, n, body, seal in chunks:
        db.run("add_chunk", {"content": content, "n": n, "body": seal.close(n + 1, body) if seal else body})
    return [None] * len(chunks)


ADD_CHUNK: Final[Verb[_Chunk, None]] = Verb(rank=0, many=_add_chunks)


def inline(content: Content) -> Stored | None:
    """A small content that lies in memory, ready for its row; None for all others."""
    header, body = content.header, content.body
    if not isinstance(body, Bytes) or len(header) + len(body.data) > INLINE_BYTES:
        return None
    return Stored(len(header), len(body.data), "inline", header + body.data)


class Storing:
    """The contents of one submission on their way; leaves no chunk behind unless ``kept`` was told of its commit."""

    def __init__(self, writer: Writer, first: int, *, keyring: Keyring) -> None:
        self._writer = writer
        self._keyring = keyring
        self._key = first
        self._chunked: list[int] = []

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
        return Stored(len(header), await upload(self._writer, key, body.blocks(), seal), "chunks", header, seal)

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
        for key in self._chunked:
            with contextlib.suppress(SpoolUnavailableError):  # the next start drops what nothing refers to
                await drop_chunks(self._writer, key)


async def upload(writer: Writer, key: int, blocks: AsyncIterator[bytes], seal: Seal | None) -> int:
    """Write a body's chunks, each its own entry in the group commit, so that accepting goes on; bytes when all are durable."""
    waiting: deque[asyncio.Future[None]] = deque()
    size = n = 0
    async for chunk in _chunks(blocks):
        writing = writer.submit(ADD_CHUNK, (key, n, chunk, seal), size=len(chunk))
        writing.add_done_callback(_hear)  # the first that fails is told; the others behind it fail with it
        waiting.append(writing)
        size, n = size + len(chunk), n + 1
        if len(waiting) >= _IN_FLIGHT:
            await waiting.popleft()
    for future in waiting:
        await future
    return size


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

    readers: Readers
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
            yield (await self.readers.read(self._chunk(n)))[max(start - at, 0) : end - at]

    def _chunk(self, n: int) -> Job[bytes]:
        def read(db: Database) -> bytes:
            row = db.row("chunk", {"content": self.content, "n": n})
            db.forget_pages()
            if row is None:
                raise ContentUnreadableError("a part of the content is gone")
            body = cast("bytes", row[0])
            return self.seal.open(n + 1, body) if self.seal else body

        return read


@dataclass(frozen=True, slots=True)
class StoredBody(ChunkedBody):
    """A body that was kept before its message: the message that is added with it takes its key."""


@asynccontextmanager
async def kept(
    writer: Writer, readers: Readers, key: int, blocks: AsyncIterator[bytes], *, seal: Seal | None, small: bool
) -> AsyncGenerator[Body]:
    """The body made of blocks, durable while the context lasts and longer only if a message with this key was added.

    With ``small`` one that fits its message's row lies in memory, ready for it.
    """
    chunks = _chunks(blocks)
    first = await anext(chunks, b"")
    if len(first) < CHUNK_BYTES and (small or not first):
        yield Bytes(first)
        return
    try:
        yield StoredBody(readers, key, await upload(writer, key, _again(first, chunks), seal), seal)
    finally:
        with contextlib.suppress(SpoolUnavailableError):  # the next start drops what nothing refers to
            await drop_chunks(writer, key)


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block


async def read(readers: Readers, key: int, *, keyring: Keyring) -> Content | None:
    """A message's content; None where it was purged; raises ContentUnreadableError."""

    def content(db: Database) -> Content | None:
        row = db.row("content", {"id": key})
        return None if row is None else _opened(cast("ContentTuple", row), key, readers, keyring)

    return await readers.read(content)


def _opened(row: ContentTuple, key: int, readers: Readers, keyring: Keyring) -> Content:
    opened = opened_row(row, keyring)
    if opened.chunked:
        return Content(opened.data, ChunkedBody(readers, key, opened.body_size, opened.seal))
    return Content(opened.data[: opened.header_size], Bytes(opened.data[opened.header_size :]))


async def drop_chunks(writer: Writer, content: int) -> None:
    """Delete a content's chunks, a few in each transaction, if no message refers to them."""
    while await writer.write(lambda db: drop_some(db, content)) == CHUNKS_AT_ONCE:
        pass


def drop_lost(db: Database) -> None:
    """At start: delete chunks whose upload died with its process."""
    for row in db.rows("lost_chunks", {}):
        while drop_some(db, cast("int", row[0])) == CHUNKS_AT_ONCE:
            pass


def drop_some(db: Database, content: int) -> int:
    """Delete a few chunks of a content that nothing refers to; how many."""
    db.run("drop_chunks", {"content": content})
    return db.changes()


def _hear(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
