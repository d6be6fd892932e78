"""Brings a spool's file to the schema that this version knows, by numbered migrations (SPOOL §4)."""

from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sqlite.database import Database
from posthouse.spool.steps import steps

APPLICATION_ID: Final = 0x504F5354
"""``POST`` in the header of the file (sqlite.org/pragma.html#pragma_application_id)."""
OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can corrupt the log when two connections write or checkpoint (SPOOL §1, the WAL-reset trap)."""
FACTS_SINCE: Final = 2
"""The schema from which on the file itself says who may work with it."""


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
    known = steps("sqlite")
    for number in range(schema_of(db) + 1, max(known) + 1):
        db.connection.execute("begin immediate")
        db.connection.execute(known[number].text).fetchall()
        db.connection.execute(f"pragma application_id = {APPLICATION_ID}")
        db.connection.execute(f"pragma user_version = {number}")
        if number >= FACTS_SINCE:
            db.run("set_fact", {"name": "oldest_schema", "value": known[number].oldest})
        db.connection.execute("commit")


def newest() -> int:
    """The schema that this version brings a spool to."""
    return max(steps("sqlite"))


def schema_of(db: Database) -> int:
    """The schema of a file."""
    return pragma(db.connection, "user_version")


def pragma(connection: apsw.Connection, name: str) -> int:
    """The value of a pragma that is a whole number."""
    return cast("int", connection.execute(f"pragma {name}").fetchall()[0][0])
