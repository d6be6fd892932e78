"""Brings a spool's file to the schema that this version knows, by numbered migrations (SPOOL §4)."""

from importlib.resources import files
from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.spool.refused import SpoolRefusedError

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


def check_file(path: Path) -> None:
    """Raise SpoolRefusedError where the file is not a spool, or a newer version's; touches nothing."""
    if not path.exists() or not path.stat().st_size:
        return
    connection = apsw.Connection(str(path))
    try:
        application, stands = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    except apsw.NotADBError:
        raise SpoolRefusedError(f"{path} is not a spool of posthouse, nor any SQLite database.") from None
    finally:
        connection.close()
    if application != APPLICATION_ID:
        raise SpoolRefusedError(f"{path} is a SQLite database, but not a spool of posthouse.")
    known = max(_steps())
    if stands > known:
        raise SpoolRefusedError(
            f"{path} has schema {stands}, this version of posthouse knows {known}: start the newer version again."
        )


def migrate(connection: apsw.Connection) -> None:
    """Apply what is missing, each migration in one transaction."""
    steps, stands = _steps(), _pragma(connection, "user_version")
    for number in range(stands + 1, max(steps) + 1):
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
