"""A copy of a spool while it is in use, whole or not at all, marked so that it is settled before it sends."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import apsw

from posthouse.message import Millis
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sqlite.database import Database, load_verbs, open_reader
from posthouse.spool.sqlite.files import place
from posthouse.spool.sqlite.restoring import mark
from posthouse.spool.sqlite.schema import check_file, migrate
from posthouse.spool.sqlite.unlocking import key_ids


def back_up(source: Path, target: Path, *, now: Millis) -> tuple[str, ...]:
    """Copy the spool at ``source`` into the one file ``target``, which is replaced; the key ids that it depends on.

    Reads one state of the spool by SQLite's online backup (sqlite.org/backup.html), through a connection that cannot
    write, beside a service or without one; nobody waits for it. Raises SpoolRefusedError and OSError.
    """
    verbs, depends = load_verbs(), list[str]()
    if not source.exists():
        raise SpoolRefusedError(f"there is no spool at {source}.")
    try:
        reader = open_reader(source, verbs)
        try:
            check_file(reader, source)
            place(target, lambda part: depends.extend(_copy(reader, part, now=now)))
        finally:
            reader.connection.close()
    except apsw.FullError as fault:
        raise SpoolRefusedError(f"there is no room for the copy at {target.parent}.") from fault
    except apsw.Error as fault:
        raise SpoolRefusedError(f"the spool {source} cannot be copied: {fault}") from fault
    return tuple(depends)


def _copy(reader: Database, part: Path, *, now: Millis) -> Sequence[str]:
    copy = Database(apsw.Connection(str(part)), load_verbs())
    try:
        with copy.connection.backup("main", reader.connection, "main") as backup:
            backup.step()  # in one go: a state of one moment, whatever is written meanwhile
        migrate(copy)  # an older file has no place for the mark
        mark(copy, now)
        copy.connection.execute("pragma journal_mode = delete").fetchall()  # one file, without a log beside it
        return key_ids(copy)
    finally:
        copy.connection.close()
        for name in ("-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                part.with_name(part.name + name).unlink()
