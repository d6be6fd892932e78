"""The disk and the driver of the real spool on it: a seed decides how long a commit takes, whether it fails, who hears of it.

A commit is all or nothing and durable at once: what a crash of the process loses is what was not committed yet.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import apsw

from posthouse.message import Millis
from posthouse.ports import Clock, SpoolUnavailableError, Wake
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite import opening
from posthouse.spool.sqlite.committing import (
    Committed,
    Entry,
    Failure,
    Group,
    Job,
    Readers,
    Verb,
    Writer,
    attempt,
    fulfil,
)
from posthouse.spool.sqlite.database import Database, load_verbs, open_writer
from posthouse.spool.sqlite.guard import Lock
from posthouse.spool.sqlite.opening import Opened
from posthouse.spool.sqlite.schema import migrate
from posthouse.spool.sqlite.store import SqliteSpool
from tests.simulation.chance import Chance
from tests.simulation.life import Life
from tests.simulation.world import World

R = TypeVar("R")


def _fail(kind: type[Exception]) -> Verb[object, object]:
    def many(_db: Database, _loads: Sequence[object]) -> Sequence[object]:
        raise kind

    return Verb(rank=99, many=many)


FULL: Final = _fail(apsw.FullError)
POISON: Final = _fail(apsw.ConstraintError)


class Disk:
    """One file, and the whims of what it lies on."""

    def __init__(self, file: "File", world: World) -> None:
        self.file = file
        self._world = world
        self._climate = world.plan.climate
        self._chance = Chance(world.plan.seed, "disk")

    def later(self, step: Callable[..., None], *arguments: object) -> None:
        """Take a step of a write or a read when the disk is so far."""
        seconds = self._latency()
        if seconds:
            self._world.loop.call_later(seconds, step, *arguments)
        else:
            self._world.loop.call_soon(step, *arguments)

    def answer(self, tell: Callable[..., None], *arguments: object) -> None:
        """Tell what a read found, at once where the disk is quick."""
        seconds = self._latency()
        if seconds:
            self._world.loop.call_later(seconds, tell, *arguments)
        else:
            tell(*arguments)

    def _latency(self) -> float:
        """Seconds; mostly none."""
        roll = self._chance.random()
        if roll < self._climate.stall * 0.1:
            return self._chance.between(0.5, 8.0)
        if roll < 0.1 + self._climate.stall:
            return self._chance.between(0.001, 0.05)
        return 0.0

    @property
    def calm(self) -> bool:
        return self._world.calm

    def sick(self) -> bool:
        """Whether this commit fails, as on a full disk."""
        if self._world.trouble("disk_full"):
            return True
        return not self.calm and self._chance.happens(self._climate.sick_disk)

    def keeps(self) -> bool:
        """Whether a commit is kept although its sync failed."""
        return self._chance.happens(0.5)

    def poisons(self) -> bool:
        """Whether one entry of the group cannot be written."""
        return not self.calm and self._chance.happens(self._climate.poison)

    def note(self, what: str) -> None:
        self._world.trace.note("disk", what)


class SimulatedWriter(Writer):
    """Drives the real group commit by the seed."""

    def __init__(self, db: Database, wake: Wake, *, disk: Disk, life: Life) -> None:
        super().__init__(db, wake)
        self._disk = disk
        self._life = life
        self._queue: deque[Entry] = deque()
        self._done: deque[Committed] = deque()
        self._busy = False
        self._idle = asyncio.Event()

    def owed(self) -> int:
        return 0

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._hand_over()
        while self._busy or self._queue or self._done:
            self._idle.clear()
            await self._idle.wait()

    def _take(self, entries: Sequence[Entry]) -> None:
        self._queue.extend(entries)
        self._go()

    def _go(self) -> None:
        if not self._busy and self._queue:
            self._busy = True
            self._disk.later(self._serve)

    def _serve(self) -> None:
        group = Group()
        while self._queue and not group.full:
            group.add(self._queue.popleft())
        if self._life.dies("before_commit"):
            return
        done = self._fail_to_sync(group.entries) if self._life.strikes("sync") else self._commit(group.entries)
        if self._life.dies("after_commit"):
            return
        self._done.append(done)
        self._disk.later(self._tell)
        self._busy = False
        self._go()

    def _commit(self, entries: list[Entry]) -> Committed:
        disk, spoiled = self._disk, None
        if disk.sick():
            spoiled = FULL
        elif disk.poisons():
            spoiled = POISON
        if spoiled is not None:
            future = self._loop.create_future()
            future.add_done_callback(_hear)
            entries = [*entries, Entry(spoiled, None, 0, future)]
        done = self._committer.commit(entries)
        word = "full" if spoiled is FULL else "poisoned" if spoiled is POISON else "committed"
        disk.note(f"{word} {len(entries)} {' '.join(_name(entry) for entry in entries)}")
        return done

    def _fail_to_sync(self, entries: list[Entry]) -> Committed:
        """Nobody knows whether it is on the disk; the committer says nothing else from now on (``committing``)."""
        kept = self._disk.keeps()
        if kept:
            self._committer.commit(entries)
        broken = self._committer.broken = SpoolUnavailableError("the spool cannot be written: sync")
        self._disk.note(f"sync failed, {'kept' if kept else 'lost'} {len(entries)}")
        self._life.fall_silent()
        return Committed([(entry.future, Failure(broken)) for entry in entries], frozenset())

    def _tell(self) -> None:
        self._deliver(self._done.popleft())
        self._idle.set()


class SimulatedReaders(Readers):
    """Reads at one moment and answers at another."""

    def __init__(self, databases: Sequence[Database], *, disk: Disk) -> None:
        super().__init__()
        self._databases = databases
        self._disk = disk

    def read(self, job: Job[R]) -> asyncio.Future[R]:
        if self._closed:
            raise SpoolUnavailableError("the spool is closed")
        future: asyncio.Future[R] = self._loop.create_future()
        self._disk.later(self._read, job, future)
        return future

    async def close(self) -> None:
        self._closed = True

    def _read(self, job: Job[object], future: asyncio.Future[object]) -> None:
        if self._closed:
            result: object = Failure(SpoolUnavailableError("the spool is closed"))
        else:
            result = attempt(self._databases[0], job)
        self._disk.answer(fulfil, [(future, result)])


@cache
def verbs() -> Mapping[str, str]:
    """The service's own verbs."""
    return load_verbs()


class NoLock(Lock):
    """The only process of a seed needs no lock."""

    def release(self) -> None:
        return


IN_MEMORY: Final = Path(":memory:")
Rows = Mapping[str, Sequence[tuple[object, ...]]]


class File:
    """One file for all seeds and lives of a bench: one connection, so that its verbs are prepared once; emptied for each seed.

    A crash here is the end of the process, never of the machine; and what is read is what was committed last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_writer(IN_MEMORY, verbs()).connection
        migrate(self.open())
        self._empty = self._rows()

    def open(self, *_: object) -> Database:
        """What ``open_writer`` gives."""
        return Database(self.connection, verbs())

    def clear(self) -> None:
        """As after the migrations."""
        with self.connection:
            for table, rows in self._empty.items():
                self.connection.execute(f"delete from {table}")  # noqa: S608 - the schema's own name
                for row in rows:
                    places = ",".join("?" * len(row))
                    self.connection.execute(f"insert into {table} values ({places})", row)  # noqa: S608 - as above

    def copy(self) -> apsw.Connection:
        """All of it as it is now."""
        copy = apsw.Connection(":memory:")
        with copy.backup("main", self.connection, "main") as backup:
            backup.step()
        return copy

    def put_back(self, copy: apsw.Connection) -> None:
        """The copy takes its place."""
        with self.connection.backup("main", copy, "main") as backup:
            backup.step()
        copy.close()

    def _rows(self) -> Rows:
        tables = self.connection.execute("select name from sqlite_master where type = 'table' order by 1").fetchall()
        return {
            str(name): self.connection.execute(f"select * from {name}").fetchall()  # noqa: S608 - as above
            for (name,) in tables
        }


def on_one_file(file: File) -> Sequence[tuple[object, str, object]]:
    """What is replaced: it reads on the connection that writes, and trusts the file."""
    return (
        (opening, "READERS", 0),
        (opening, "load_verbs", verbs),
        (opening, "open_writer", file.open),
        (opening, "migrate", lambda _db: None),
        (opening, "_inspect", lambda *_arguments, **_named: False),
    )


SECRETS: Final = Secrets(master="a master of the simulation, of no worth to anybody")


def open_files(file: File, *, owner: str, now: Millis) -> Opened:
    """What ``open_spool`` does, without the lock that keeps other processes away."""
    opened = opening.open_file(file.path, owner, secrets=SECRETS, now=now, lock=NoLock(0))
    return replace(opened, readers=(file.open(),))


def spool_of(opened: Opened, *, disk: Disk, life: Life, clock: Clock) -> SqliteSpool:
    """The real spool, driven by the seed."""
    return SqliteSpool(
        opened,
        floor=0,
        clock=clock,
        writer=lambda db, wake: SimulatedWriter(db, wake, disk=disk, life=life),
        readers=lambda databases: SimulatedReaders(databases, disk=disk),
    )


def _name(entry: Entry) -> str:
    job = entry.load if callable(entry.load) else entry.verb.many
    return getattr(job, "__qualname__", "?").partition(".")[0].removeprefix("_")


def _hear(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()
