"""Brings a spool's file to the schema that this version knows, by numbered migrations (SPOOL §4)."""

from importlib.resources import files
from typing import Final, cast

import apsw

from posthouse.spool.sqlite.guard import SpoolRefusedError

APPLICATION_ID: Final = 0x504F5354
"""``POST`` in the header of the file (sqlite.org/pragma.html#pragma_application_id)."""
OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can corrupt the log when two connections write or checkpoint (SPOOL §1, the WAL-reset trap)."""


def check_library() -> None:
    """Raise SpoolRefusedError where the SQLite in this process is too old."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        oldest = ".".join(str(part) for part in OLDEST_SQLITE)
        raise SpoolRefusedError(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a spool; {oldest} or later is needed: upgrade apsw."
        )


def migrate(connection: apsw.Connection) -> None:
    """Apply what is missing, each migration in one transaction; raises SpoolRefusedError for a file of other origin."""
    steps = _steps()
    known, stands = max(steps), _pragma(connection, "user_version")
    if stands == 0 and not _empty(connection):
        raise SpoolRefusedError("the file is a SQLite database, but not a spool of posthouse.")
    if stands and _pragma(connection, "application_id") != APPLICATION_ID:
        raise SpoolRefusedError("the file is a SQLite database of another program, not a spool of posthouse.")
    if stands > known:
        raise SpoolRefusedError(
            f"the spool has schema {stands}, this version of posthouse knows {known}: start the newer version again."
        )
    for number in range(stands + 1, known + 1):
        connection.execute("begin immediate")
        connection.execute(steps[number]).fetchall()
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {number}")
        connection.execute("commit")


def _steps() -> dict[int, str]:
    folder = files("posthouse.spool").joinpath("migrations", "sqlite")
    found = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return {int(name.partition("_")[0]): entry.read_text("utf-8") for name, entry in found.items()}


def _pragma(connection: apsw.Connection, name: str) -> int:
    return cast("int", connection.execute(f"pragma {name}").fetchall()[0][0])


def _empty(connection: apsw.Connection) -> bool:
    return not connection.execute("select 1 from sqlite_schema limit 1").fetchall()
