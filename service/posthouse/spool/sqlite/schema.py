"""Brings a spool's file to the schema that this version knows, by numbered migrations (SPOOL §4).

Every migration says in its first line which is the oldest schema whose code may still work with the file (``-- oldest:
N``): that mark lies in the file, so that an older version of posthouse opens a newer spool as long as it can do no harm.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.guard import SpoolRefusedError

APPLICATION_ID: Final = 0x504F5354
"""``POST`` in the header of the file (sqlite.org/pragma.html#pragma_application_id)."""
OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can corrupt the log when two connections write or checkpoint (SPOOL §1, the WAL-reset trap)."""
FACTS_SINCE: Final = 2
"""The schema from which on the file itself says who may work with it."""
_OLDEST: Final = re.compile(r"-- oldest: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its text, and the oldest schema whose code may work with the file after it."""

    text: str
    oldest: int


def check_library() -> None:
    """Raise SpoolRefusedError where the SQLite in this process is too old."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        oldest = ".".join(str(part) for part in OLDEST_SQLITE)
        raise SpoolRefusedError(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a spool; {oldest} or later is needed: upgrade apsw."
        )


def check_file(db: Database, path: Path) -> None:
    """Raise SpoolRefusedError where the file is not a spool, or a newer one that this version may not touch."""
    application, stands = pragma(db.connection, "application_id"), schema_of(db)
    if application != APPLICATION_ID:
        raise SpoolRefusedError(f"{path} is a SQLite database, but not a spool of posthouse.")
    known = newest()
    oldest = stands if stands <= known else db.number("fact", {"name": "oldest_schema"}) or stands
    if oldest > known:
        raise SpoolRefusedError(
            f"{path} has schema {stands}, this version of posthouse knows {known} and could harm its mail (the oldest "
            f"that may work with it is {oldest}): start the newer version again."
        )


def migrate(db: Database) -> None:
    """Apply what is missing, each migration in one transaction; a newer file stays as it is."""
    steps = _steps()
    for number in range(schema_of(db) + 1, max(steps) + 1):
        db.connection.execute("begin immediate")
        db.connection.execute(steps[number].text).fetchall()
        db.connection.execute(f"pragma application_id = {APPLICATION_ID}")
        db.connection.execute(f"pragma user_version = {number}")
        if number >= FACTS_SINCE:
            oldest = max(steps[n].oldest for n in range(1, number + 1))
            db.run("set_fact", {"name": "oldest_schema", "value": oldest})
        db.connection.execute("commit")


def newest() -> int:
    """The schema that this version brings a spool to."""
    return max(_steps())


def schema_of(db: Database) -> int:
    """The schema of a file."""
    return pragma(db.connection, "user_version")


def pragma(connection: apsw.Connection, name: str) -> int:
    """The value of a pragma that is a whole number."""
    return cast("int", connection.execute(f"pragma {name}").fetchall()[0][0])


def _steps() -> dict[int, Step]:
    folder = files("posthouse.spool").joinpath("migrations", "sqlite")
    found: dict[int, Step] = {}
    for entry in folder.iterdir():
        if entry.name.endswith(".sql"):
            number, text = int(entry.name.partition("_")[0]), entry.read_text("utf-8")
            says = _OLDEST.match(text)
            if number in found or (number > 1 and says is None):
                raise ValueError(f"{entry.name}: its number stands twice, or its first line is not '-- oldest: N'")
            found[number] = Step(text, int(says[1]) if says else 1)
    return found
