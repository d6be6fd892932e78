"""Group commit without threads: what waits goes into one transaction, and each result back to the one who waits.

Who drives it decides when: a thread in the service (``threads.py``), a seed in the simulation. An entry that was queued
is written, whatever becomes of the task that waits for it.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar, cast

import apsw

from posthouse.ports import SpoolUnavailableError, Wake
from posthouse.spool.sqlite.database import Database

GROUP_ENTRIES: Final = 256
GROUP_BYTES: Final = 2 * 1024 * 1024
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
class Entry:
    """A load that waits for its verb, and who waits for the result."""

    verb: Verb[object, object]
    load: object
    size: int
    future: asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class Failure:
    """A result that is raised where it is waited for."""

    fault: Exception


@dataclass(slots=True)
class Group:
    """Entries of one commit: at most 256 of them, or about 2 MB."""

    entries: list[Entry] = field(default_factory=list)
    size: int = 0

    def add(self, entry: Entry) -> None:
        """Take an entry in."""
        self.entries.append(entry)
        self.size += entry.size

    @property
    def full(self) -> bool:
        """Whether what waits behind goes into the next one."""
        return len(self.entries) >= GROUP_ENTRIES or self.size >= GROUP_BYTES


Results = list[tuple[asyncio.Future[object], object]]


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a group: a result (or Failure) for each who waits, and the lanes whose rows changed."""

    results: Results
    woken: frozenset[int]


class Committer:
    """Commits groups on the one connection that writes; ``broken`` is set for good after a failed sync."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.broken: SpoolUnavailableError | None = None

    def commit(self, entries: Sequence[Entry]) -> Committed:
        """Commit a group; where one entry spoils it, each alone."""
        try:
            return self._transact(entries)
        except Exception as fault:  # noqa: BLE001 - goes to those who wait
            self._roll_back()
            failure = Failure(self._explained(fault))
            if len(entries) == 1 or isinstance(fault, _WHOLE_STORE):
                return Committed([(entry.future, failure) for entry in entries], frozenset())
        singly = [self.commit([entry]) for entry in entries]
        woken = frozenset[int]().union(*(one.woken for one in singly))
        return Committed([result for one in singly for result in one.results], woken)

    def _transact(self, entries: Sequence[Entry]) -> Committed:
        db = self._db
        verbs: dict[Verb[object, object], list[Entry]] = {}
        for entry in entries:
            verbs.setdefault(entry.verb, []).append(entry)
        results: Results = []
        db.connection.execute("begin immediate")
        for verb in sorted(verbs, key=lambda verb: verb.rank):
            of_verb = verbs[verb]
            outcome = verb.many(db, [entry.load for entry in of_verb])
            results.extend(zip((entry.future for entry in of_verb), outcome, strict=True))
        db.connection.execute("commit")
        woken, db.woken = db.woken, set()
        return Committed(results, frozenset(woken))

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
            self.broken = broken
        return broken


class Writer(ABC):
    """Where writes queue up; ``wake`` hears, on the loop, of each group and of lanes whose rows changed in it."""

    def __init__(self, db: Database, wake: Wake) -> None:
        self._db = db
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._committer = Committer(db)
        self._gathered: list[Entry] = []
        self._closed = False

    def submit(self, verb: Verb[_L, _R], load: _L, *, size: int) -> asyncio.Future[_R]:
        """Queue a load; the future is done when it is durable. Raises SpoolUnavailableError where it cannot be."""
        if self._committer.broken is not None:
            raise self._committer.broken
        if self._closed:
            raise SpoolUnavailableError("the spool is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(Entry(cast("Verb[object, object]", verb), load, size, future))
        return cast("asyncio.Future[_R]", future)

    async def write(self, job: Job[_R]) -> _R:
        """Run a job inside the next group's transaction; what it raises undoes only itself."""
        return cast("_R", await self.submit(_EACH, job, size=0))

    @abstractmethod
    def owed(self) -> int:
        """Bytes that the spool's file may still grow by without another commit."""

    @abstractmethod
    async def close(self) -> None:
        """Write what waits and close the connection; idempotent."""

    @abstractmethod
    def _take(self, entries: Sequence[Entry]) -> None:
        """Commit these in their order, as soon as may be."""

    def _hand_over(self) -> None:
        """What one turn of the loop gathered: who commits is woken once for all of it."""
        entries, self._gathered = self._gathered, []
        self._take(entries)

    def _deliver(self, done: Committed) -> None:
        fulfil(done.results)
        self._wake(done.woken)


class Readers(ABC):
    """Where questions queue up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closed = False

    @abstractmethod
    def read(self, job: Job[_R]) -> asyncio.Future[_R]:
        """Run a job on one of the connections; raises SpoolUnavailableError where that is not possible."""

    @abstractmethod
    async def close(self) -> None:
        """Read what waits and close the connections; idempotent."""


def attempt(db: Database, job: Job[object]) -> object:
    """The answer to a question, or the Failure that the one who asked is told."""
    try:
        return job(db)
    except apsw.Error as fault:
        return Failure(SpoolUnavailableError(f"the spool cannot be read: {fault}"))
    except Exception as fault:  # noqa: BLE001 - goes to the one who waits
        return Failure(fault)


def fulfil(results: Results) -> None:
    """Tell those who still wait."""
    for future, result in results:
        if future.done():
            continue
        if isinstance(result, Failure):
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
        return Failure(fault)


_EACH: Final = Verb(rank=9, many=_run_each)
