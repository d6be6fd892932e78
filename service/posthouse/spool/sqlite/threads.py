"""The threads that own the connections: one writer with group commit, a few readers.

The writer drains everything that waits (at most 256 entries or 2 MB) into one transaction; no timer: the sync under
way is the batching window (SPOOL §6.2). Results go back to the event loop with one call per group.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeVar, cast

import apsw

from posthouse.ports import SpoolUnavailableError, Wake
from posthouse.spool.sqlite.committing import (
    Committed,
    Entry,
    Failure,
    Group,
    Job,
    Readers,
    Results,
    Writer,
    attempt,
    fulfil,
)
from posthouse.spool.sqlite.database import Database

CHECKPOINT_PAGES: Final = 1_000
"""Pages in the log from which the writer checkpoints when nothing waits: SQLite's own default."""
PAGE_BYTES: Final = 4_096
"""SQLite's default size of a page, which is the spool's (SPOOL §7)."""
IDLE_SECONDS: Final = 0.05
CHECKPOINT_FORCED_PAGES: Final = 16_384
"""64 MB of log: checkpoint although entries wait (SPOOL §7)."""
_READS_AT_ONCE: Final = 8

_R = TypeVar("_R")
_Read = tuple[asyncio.Future[object], Job[object]]


class WriterThread(Writer):
    """The thread that writes."""

    def __init__(self, db: Database, wake: Wake) -> None:
        super().__init__(db, wake)
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._pages = 0
        self._unwritten = 0
        db.connection.set_wal_hook(self._note_pages)
        self._thread = threading.Thread(target=self._run, name="spool writer", daemon=True)
        self._thread.start()

    def owed(self) -> int:
        """Bytes of the log that the file may still grow by when they are written back."""
        return self._unwritten * PAGE_BYTES

    async def close(self) -> None:
        """Write what waits, checkpoint, close the connection."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._queue.put(entry)

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        except BaseException as fault:  # whoever waits must hear of it
            broken = SpoolUnavailableError(f"the spool's writer ended: {type(fault).__name__}")
            self._committer.broken = broken
            self._refuse_rest(broken)
            raise
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.connection.close()

    def _serve(self) -> bool:
        """One group; False after the last."""
        group, going = self._next_group()
        if group.entries:
            self._tell(self._committer.commit(group.entries))
        if self._pages > CHECKPOINT_FORCED_PAGES:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return going

    def _next_group(self) -> tuple[Group, bool]:
        group = Group()
        entry = self._first()
        while entry is not None:
            group.add(entry)
            if group.full or self._queue.empty():
                return group, True
            entry = self._queue.get()
        return group, False

    def _first(self) -> Entry | None:
        """Wait for the next entry; checkpoint when none comes for a while."""
        if self._pages > CHECKPOINT_PAGES:
            try:
                return self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return self._queue.get()

    def _refuse_rest(self, fault: SpoolUnavailableError) -> None:
        rest: list[Entry | None] = []
        while not self._queue.empty():
            rest.append(self._queue.get())
        failure = Failure(fault)
        self._tell(Committed([(entry.future, failure) for entry in rest if entry is not None], frozenset()))

    def _note_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = self._unwritten = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: int) -> None:
        with contextlib.suppress(apsw.Error):  # the log stays; the next checkpoint takes it
            pages, written = self._db.connection.wal_checkpoint(mode=mode)
            self._unwritten = max(pages - written, 0)
        self._pages = 0

    def _tell(self, done: Committed) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, done)


class ReaderThreads(Readers):
    """Threads that read, each with its own connection."""

    def __init__(self, databases: Sequence[Database]) -> None:
        super().__init__()
        self._gathered: list[_Read] = []
        self._queue: SimpleQueue[_Read | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(db,), name=f"spool reader {i}", daemon=True)
            for i, db in enumerate(databases)
        ]
        for thread in self._threads:
            thread.start()

    def read(self, job: Job[_R]) -> asyncio.Future[_R]:
        """Run a job on one of the connections; raises SpoolUnavailableError where that is not possible."""
        if self._closed:
            raise SpoolUnavailableError("the spool is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((future, job))
        return cast("asyncio.Future[_R]", future)

    async def close(self) -> None:
        """Read what waits and close the connections."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _hand_over(self) -> None:
        for one in self._gathered:
            self._queue.put(one)
        self._gathered.clear()

    def _run(self, db: Database) -> None:
        going = True
        while going:
            batch = self._next_batch()
            going = batch[-1] is not None
            results: Results = [(entry[0], attempt(db, entry[1])) for entry in batch if entry is not None]
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(fulfil, results)
        db.connection.close()

    def _next_batch(self) -> list[_Read | None]:
        batch = [self._queue.get()]
        while batch[-1] is not None and len(batch) < _READS_AT_ONCE:
            try:
                batch.append(self._queue.get_nowait())
            except Empty:
                break
        return batch
