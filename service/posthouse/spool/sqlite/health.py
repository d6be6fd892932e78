"""Is the file sound? Looked at before it is opened for writing, and behind it where it is large (sqlite.org/pragma.html#pragma_quick_check)."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sqlite.database import Database
from posthouse.telemetry import SPOOL_DAMAGED, log

START_SECONDS: Final = 1.0
"""What a start spends on looking; the rest is looked through behind it."""
SMALL: Final = 64 * 1024 * 1024
"""Up to this size a file whose last process ended uncleanly is looked through in full before the start."""
_STEPS: Final = 20_000
"""Steps of SQLite's machine between looks at the watch: a few milliseconds."""
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)


class Watched:
    """Runs SQLite's own check until ``over`` says that it must end."""

    def __init__(self, db: Database, *, over: Callable[[], bool]) -> None:
        self._db = db
        self._over = over

    def first_fault(self, *, full: bool) -> str | None:
        """The first thing wrong with the file, None where it is sound; raises apsw.InterruptError where time was over."""
        connection = self._db.connection
        connection.set_progress_handler(self._over, _STEPS)
        try:
            rows = connection.execute(f"pragma {'integrity_check' if full else 'quick_check'}(1)").fetchall()
            found = cast("str", rows[0][0])
        except _DAMAGE as fault:
            found = str(fault)
        finally:
            connection.set_progress_handler(None)
        return None if found == "ok" else found


def refuse_damaged(db: Database, path: Path) -> bool:
    """Raise SpoolRefusedError where the file is damaged; True where it is too large to be looked through now."""
    log_size = _size(path.with_name(path.name + "-wal"))
    unclean = log_size > 0  # a process that ended well leaves no log
    thorough = unclean and _size(path) + log_size <= SMALL
    end = time.monotonic() + START_SECONDS
    watched = Watched(db, over=lambda: not thorough and time.monotonic() > end)
    try:
        fault = watched.first_fault(full=thorough)
    except apsw.InterruptError:
        return True
    if fault is not None:
        raise SpoolRefusedError(damaged(path, fault), fix="spool.damaged")
    return False


def damaged(path: Path, fault: str) -> str:
    """What is wrong and what to do, for a person."""
    return (
        f"the spool {path} is damaged ({_one_line(fault)}). Nothing was written to it. Keep the file, and put your "
        "latest backup in its place: posthouse finds out what was sent after it was taken, before it sends anything "
        "again. Without a backup: recover what can be read with the sqlite3 program's .recover."
    )


class Behind:
    """Looks through a large file while the service works; ``fault`` is what it found."""

    def __init__(self, db: Database, path: Path) -> None:
        self.fault: str | None = None
        self._db = db
        self._path = path
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool check", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, wherever it stands."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self.fault = Watched(self._db, over=self._ending.is_set).first_fault(full=False)
        except apsw.Error:
            return
        finally:
            self._db.connection.close()
        if self.fault is not None:
            log(SPOOL_DAMAGED, level=logging.CRITICAL, file=str(self._path), fault=_one_line(self.fault))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
