"""The spool on SQLite: every verb of ``ports.Spool``, durable when it returns."""

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from posthouse.message import Content, Event, Message, MessageId, Millis, Status, id_bytes
from posthouse.outcome import RefusedRecipient
from posthouse.ports import Clock, SpoolUnavailableError, Wake
from posthouse.records import (
    AddResult,
    Finish,
    Lease,
    Mark,
    Pause,
    Submission,
    Unsettled,
)
from posthouse.spool.sqlite import lanes, reading, sending
from posthouse.spool.sqlite.accepting import ADD, INLINE_BYTES, Stored, prepare, stored_inline
from posthouse.spool.sqlite.database import Database, load_verbs, open_reader, open_writer
from posthouse.spool.sqlite.guard import Lock, SpoolRefusedError, lock_spool, refuse_network
from posthouse.spool.sqlite.schema import check_library, migrate
from posthouse.spool.sqlite.threads import Readers, Writer

READERS = 2


class SqliteSpool:
    """One process's spool in one file; made by ``open_spool``."""

    def __init__(self, *, path: Path, lock: Lock, databases: tuple[Database, ...], owner: str, worker: int, last_key: int) -> None:
        self._path = path
        self._lock = lock
        self._owner = owner
        self._worker = worker
        self._next_key = last_key + 1
        self._told: Wake | None = None
        self._writer = Writer(databases[0], wake=self._wake)
        self._readers = Readers(databases[1:])
        self._mark = sending.mark_verb(worker)

    def on_wake(self, wake: Wake) -> None:
        """Tell ``wake`` from now on of lanes that got something to do."""
        self._told = wake

    def _wake(self, woken: frozenset[int]) -> None:
        if self._told is not None:
            self._told(woken)

    async def add(self, submission: Submission) -> AddResult:
        """Keep it durably, all of it or nothing; raises SpoolUnavailableError."""
        first = self._next_key
        self._next_key += len(submission.messages)
        contents = [await self._store(first + i, message.content) for i, message in enumerate(submission.messages)]
        load = prepare(submission, first=first, contents=tuple(contents))
        return await self._writer.submit(ADD, load, size=load.size)

    async def _store(self, key: int, content: Content) -> Stored:
        return stored_inline(content)

    async def lease(self, *, owner: str, now: Millis, most: int) -> Sequence[Lease]:
        """Take lanes that have something due and no owner."""
        return await self._writer.write(lanes.lease(owner=owner, now=now, most=most))

    async def next_due(self) -> Millis | None:
        """When the next lane without an owner has something to do."""
        return await self._readers.read(lambda db: db.number("next_due", {}))

    async def peek(self, *, lane: int, now: Millis, most: int) -> Sequence[Message]:
        """What is due in a lane, by priority, then age."""
        return await self._readers.read(reading.peek(lane=lane, now=now, most=most))

    async def next_in(self, *, lane: int) -> Millis | None:
        """When the earliest queued row of a lane is due."""
        return await self._readers.read(lambda db: db.number("next_in", {"lane": lane}))

    async def content(self, key: int) -> Content | None:
        """The content; None where it was purged."""
        return await reading.content(self._readers, key)

    async def mark(self, mark: Mark) -> bool:
        """Write ``sending`` and the attempt; False where the row is not queued any more or the fence is old."""
        load = sending.mark_load(mark)
        return await self._writer.submit(self._mark, load, size=len(load[1]))

    async def note_refused(self, *, key: int, number: int, refused: Sequence[RefusedRecipient]) -> None:
        """Write down refused recipients before DATA."""
        await self._writer.write(sending.note_refused(key, refused))

    async def finish(self, finish: Finish) -> bool:
        """Write the outcome; False where a later attempt exists or another has settled it: then it is an event."""
        load = sending.finish_load(finish)
        return await self._writer.submit(sending.FINISH, load, size=len(load[1]))

    async def release(self, *, lane: int, fence: int, now: Millis) -> None:
        """Give a lane back; its ``next_at`` is computed from its rows and pauses."""
        await self._writer.write(lanes.release(lane=lane, fence=fence))

    async def pause(self, *, lane: int, pause: Pause) -> None:
        """Pause a lane or one transport of it."""
        await self._writer.write(lanes.pause(lane=lane, pause=pause))

    async def resume(self, *, lane: int, transport: str | None) -> None:
        """End a pause."""
        await self._writer.write(lanes.resume(lane=lane, transport=transport))

    async def unsettled(self, *, now: Millis, most: int) -> Sequence[Unsettled]:
        """Rows whose next look-up is due."""
        return await self._readers.read(reading.unsettled(now=now, most=most))

    async def next_look(self) -> Millis | None:
        """When the next look-up is due."""
        return await self._readers.read(lambda db: db.number("next_look", {}))

    async def key_of(self, message_id: MessageId) -> int | None:
        """The spool's own key of a message."""
        return await self._readers.read(lambda db: db.number("key_of", {"public_id": id_bytes(message_id)}))

    async def events(self, message_id: MessageId) -> Sequence[Event]:
        """A message's history, oldest first."""
        return await self._readers.read(reading.events(message_id))

    async def close(self) -> None:
        """Write what waits and close; idempotent."""
        await self._readers.close()
        await self._writer.close()
        self._lock.release()


async def open_spool(path: Path, *, owner: str, clock: Clock, create: bool = True, wait: float = 10.0) -> SqliteSpool:
    """Open the spool for this process alone; ``owner`` names the process's life, ``wait`` is in seconds.

    Raises SpoolRefusedError where it may not be opened, saying what to do.
    """
    check_library()
    if not create and not path.exists():
        raise SpoolRefusedError(f"there is no spool at {path}; `posthouse serve` or `posthouse keys create` makes one.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_network(path.parent)
    lock = await lock_spool(path, owner=owner, clock=clock, wait=wait)
    try:
        databases, worker, last_key = await asyncio.to_thread(_open, path, owner, clock.now())
        return SqliteSpool(
            path=path, lock=lock, databases=databases, owner=owner, worker=worker, last_key=last_key
        )
    except BaseException:
        lock.release()
        raise


def _open(path: Path, owner: str, now: Millis) -> tuple[tuple[Database, ...], int, int]:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    verbs = load_verbs()
    writer = open_writer(path, verbs)
    migrate(writer.connection)
    boot = {"owner": owner, "host": platform.node(), "version": version("posthouse"), "at": now}
    worker, last_key = writer.number("boot", boot), writer.number("last_key", {})
    return (writer, *(open_reader(path, verbs) for _ in range(READERS))), worker or 0, last_key or 0
