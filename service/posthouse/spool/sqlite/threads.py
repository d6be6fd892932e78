"""The threads that own the connections: one writer with group commit, a few readers.

The writer drains everything that waits (at most 256 entries or 2 MB) into one transaction; no timer: the sync under
way is the batching window (SPOOL §6.2). Results go back to the event loop with one call per group. An entry that
was queued is written, whatever becomes of the task that waits for it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar, cast

import apsw

from posthouse.ports import SpoolUnavailableError, Wake
from posthouse.spool.sqlite.database import Database

GROUP_ENTRIES: Final = 256
GROUP_BYTES: Final = 2 * 1024 * 1024
CHECKPOINT_PAGES: Final = 1_000
"""Pages in the log from which the writer checkpoints when nothing waits: SQLite's own default."""
PAGE_BYTES: Final = 4_096
"""SQLite's default size of a page, which is the spool's (SPOOL §7)."""
IDLE_SECONDS: Final = 0.05
CHECKPOINT_FORCED_PAGES: Final = 16_384
"""64 MB of log: checkpoint although entries wait (SPOOL §7)."""
_READS_AT_ONCE: Final = 8
_SYNC_FAULTS: Final = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})
_WHOLE_STORE: Final = (
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.NoMemError,
    apsw.BusyError,
    apsw.LockedError,
)

_L = TypeVar("_L")
_R = TypeVar("_R")
Job = Callable[[Database], _R]


@dataclass(frozen=True, slots=True, eq=False)
class Verb(Generic[_L, _R]):
    """Does many loads of one kind in one transaction; verbs of a lower rank go first in their group.

    ``many`` gives one result per load, in order. What it raises fails the group, whose entries are then tried singly.
    """

    rank: int
    many: Callable[[Database, Sequence[_L]], Sequence[_R]]


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    verb: Verb[object, object]
    load: object
    size: int
    future: asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class _Failure:
    fault: Exception


_Results = list[tuple[asyncio.Future[object], object]]
_Read = tuple[asyncio.Future[object], Job[object]]


class Writer:
    """The thread that writes; ``wake`` hears, on the loop, of each group and of lanes whose rows changed in it."""

    def __init__(self, db: Database, *, wake: Wake) -> None:
        self._db = db
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._gathered: list[_Entry] = []
        self._closed = False
        self._broken: SpoolUnavailableError | None = None
        self._pages = 0
        self._unwritten = 0
        db.connection.set_wal_hook(self._note_pages)
        self._thread = threading.Thread(target=self._run, name="spool writer", daemon=True)
        self._thread.start()

    def submit(self, verb: Verb[_L, _R], load: _L, *, size: int) -> asyncio.Future[_R]:
        """Queue a load; the future is done when it is durable. Raises SpoolUnavailableError where it cannot be."""
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise SpoolUnavailableError("the spool is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(_Entry(cast("Verb[object, object]", verb), load, size, future))
        return cast("asyncio.Future[_R]", future)

    def _hand_over(self) -> None:
        """What one turn of the loop gathered: the thread is woken once for all of it, and fights less for the lock."""
        for entry in self._gathered:
            self._queue.put(entry)
        self._gathered.clear()

    def owed(self) -> int:
        """Bytes of the log that the file may still grow by when they are written back."""
        return self._unwritten * PAGE_BYTES

    async def write(self, job: Job[_R]) -> _R:
        """Run a job inside the next group's transaction; what it raises undoes only itself."""
        return cast("_R", await self.submit(_EACH, job, size=0))

    async def close(self) -> None:
        """Write what waits, checkpoint, close the connection."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        except BaseException as fault:  # whoever waits must hear of it
            self._broken = SpoolUnavailableError(f"the spool's writer ended: {type(fault).__name__}")
            self._refuse_rest(self._broken)
            raise
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.connection.close()

    def _serve(self) -> bool:
        """One group; False after the last."""
        group, going = self._next_group()
        if group:
            results, woken = self._commit(group)
            self._tell(results, frozenset(woken))
        if self._pages > CHECKPOINT_FORCED_PAGES:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return going

    def _next_group(self) -> tuple[list[_Entry], bool]:
        group: list[_Entry] = []
        size = 0
        entry = self._first()
        while entry is not None:
            group.append(entry)
            size += entry.size
            if len(group) >= GROUP_ENTRIES or size >= GROUP_BYTES or self._queue.empty():
                return group, True
            entry = self._queue.get()
        return group, False

    def _first(self) -> _Entry | None:
        """Wait for the next entry; checkpoint when none comes for a while."""
        if self._pages > CHECKPOINT_PAGES:
            try:
                return self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return self._queue.get()

    def _refuse_rest(self, fault: SpoolUnavailableError) -> None:
        rest: list[_Entry | None] = []
        while not self._queue.empty():
            rest.append(self._queue.get())
        self._tell([(entry.future, _Failure(fault)) for entry in rest if entry is not None], frozenset())

    def _commit(self, group: Sequence[_Entry]) -> tuple[_Results, set[int]]:
        """Commit a group; where one entry spoils it, each alone."""
        try:
            return self._transact(group)
        except Exception as fault:  # noqa: BLE001 - goes to those who wait
            self._roll_back()
            failure = _Failure(self._explained(fault))
            if len(group) == 1 or isinstance(fault, _WHOLE_STORE):
                return [(entry.future, failure) for entry in group], set()
        singly = [self._commit([entry]) for entry in group]
        return [result for results, _ in singly for result in results], set().union(*(woken for _, woken in singly))

    def _transact(self, group: Sequence[_Entry]) -> tuple[_Results, set[int]]:
        db = self._db
        verbs: dict[Verb[object, object], list[_Entry]] = {}
        for entry in group:
            verbs.setdefault(entry.verb, []).append(entry)
        results: _Results = []
        db.connection.execute("begin immediate")
        for verb in sorted(verbs, key=lambda verb: verb.rank):
            entries = verbs[verb]
            outcome = verb.many(db, [entry.load for entry in entries])
            results.extend(zip((entry.future for entry in entries), outcome, strict=True))
        db.connection.execute("commit")
        woken, db.woken = db.woken, set()
        return results, woken

    def _roll_back(self) -> None:
        self._db.forget()
        if self._db.connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._db.connection.execute("rollback")

    def _explained(self, fault: Exception) -> Exception:
        if isinstance(fault, apsw.FullError):
            return SpoolUnavailableError("the disk under the spool is full", full=True)
        if not isinstance(fault, _WHOLE_STORE):
            return fault
        broken = SpoolUnavailableError(f"the spool cannot be written: {fault}")
        if isinstance(fault, apsw.IOError) and getattr(fault, "extendedresult", 0) in _SYNC_FAULTS:
            # after a failed sync the kernel may have dropped the pages: only a new process can know what is on disk
            self._broken = broken
        return broken

    def _note_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = self._unwritten = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: int) -> None:
        with contextlib.suppress(apsw.Error):  # the log stays; the next checkpoint takes it
            pages, written = self._db.connection.wal_checkpoint(mode=mode)
            self._unwritten = max(pages - written, 0)
        self._pages = 0

    def _tell(self, results: _Results, woken: frozenset[int]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, results, woken)

    def _deliver(self, results: _Results, woken: frozenset[int]) -> None:
        _fulfil(results)
        self._wake(woken)


class Readers:
    """Threads that read, each with its own connection."""

    def __init__(self, databases: Sequence[Database]) -> None:
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Read] = []
        self._queue: SimpleQueue[_Read | None] = SimpleQueue()
        self._closed = False
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

    def _hand_over(self) -> None:
        for one in self._gathered:
            self._queue.put(one)
        self._gathered.clear()

    async def close(self) -> None:
        """Read what waits and close the connections."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, db: Database) -> None:
        going = True
        while going:
            batch = self._next_batch()
            going = batch[-1] is not None
            results: _Results = [(entry[0], self._try(db, entry[1])) for entry in batch if entry is not None]
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(_fulfil, results)
        db.connection.close()

    def _next_batch(self) -> list[_Read | None]:
        batch = [self._queue.get()]
        while batch[-1] is not None and len(batch) < _READS_AT_ONCE:
            try:
                batch.append(self._queue.get_nowait())
            except Empty:
                break
        return batch

    def _try(self, db: Database, job: Job[object]) -> object:
        try:
            return job(db)
        except apsw.Error as fault:
            return _Failure(SpoolUnavailableError(f"the spool cannot be read: {fault}"))
        except Exception as fault:  # noqa: BLE001 - goes to the one who waits
            return _Failure(fault)


def _fulfil(results: _Results) -> None:
    for future, result in results:
        if future.done():
            continue
        if isinstance(result, _Failure):
            future.set_exception(result.fault)
        else:
            future.set_result(result)


def _run_each(db: Database, jobs: Sequence[Job[object]]) -> Sequence[object]:
    return [_run_one(db, job) for job in jobs]


def _run_one(db: Database, job: Job[object]) -> object:
    woken = set(db.woken)
    try:
        with db.connection:  # a savepoint inside the group's transaction
            return job(db)
    except apsw.Error:
        raise
    except Exception as fault:  # noqa: BLE001 - goes to the one who waits
        db.forget()
        db.woken = woken
        return _Failure(fault)


_EACH: Final = Verb(rank=9, many=_run_each)
