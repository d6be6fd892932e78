"""One connection to the spool's file: runs the verbs of ``sql/sqlite`` by name and hands back plain values.

A verb is one file, read once per process start; a file of several statements runs them in order with the same
named parameters. Rows travel in as one JSON text (``json_each``) and, where it matters, out as one JSON text: every
step of a statement gives the interpreter lock away, and a busy event loop keeps it for up to 5 ms (SPEED.md).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.message import Millis

Value = int | float | str | bytes | None
Row = tuple[Value, ...]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_CACHED_STATEMENTS: Final = 300
_WRITER: Final = (
    "pragma auto_vacuum = incremental",  # takes effect on a new file only
    "pragma journal_mode = wal",
    "pragma synchronous = full",  # an answered commit survives power loss (SPOOL §1)
    "pragma wal_autocheckpoint = 0",  # the writer checkpoints between groups
    "pragma journal_size_limit = 67108864",
    "pragma foreign_keys = off",  # every writing verb is ours; the keys document the schema
    "pragma temp_store = memory",
    "pragma cache_size = -32768",
    "pragma busy_timeout = 5000",
)
_READER: Final = (
    "pragma query_only = on",
    "pragma temp_store = memory",
    "pragma cache_size = -8192",
    "pragma busy_timeout = 5000",
)


def load_verbs() -> Mapping[str, str]:
    """The text of every verb by its name."""
    folder = files("posthouse.spool").joinpath("sql", "sqlite")
    return {
        entry.name.removesuffix(".sql"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }


def to_json(value: object) -> str:
    """Compact JSON text."""
    return _ENCODER.encode(value)


def array(parts: Iterable[str]) -> str:
    """One JSON array of values that are JSON text already."""
    return f"[{','.join(parts)}]"


class Database:
    """A connection that belongs to one thread; ``woken`` collects lanes whose rows changed in this transaction."""

    def __init__(self, connection: apsw.Connection, verbs: Mapping[str, str]) -> None:
        self.connection = connection
        self.woken: set[int] = set()
        self._verbs = verbs
        self._lanes: dict[str, int] = {}

    def run(self, verb: str, parameters: Mapping[str, Value]) -> None:
        """Run a verb for its effect."""
        self.connection.execute(self._verbs[verb], parameters).fetchall()

    def rows(self, verb: str, parameters: Mapping[str, Value]) -> Sequence[Row]:
        """All rows of a verb."""
        return cast("list[Row]", self.connection.execute(self._verbs[verb], parameters).fetchall())

    def row(self, verb: str, parameters: Mapping[str, Value]) -> Row | None:
        """The only row of a verb, or None."""
        found = self.rows(verb, parameters)
        return found[0] if found else None

    def number(self, verb: str, parameters: Mapping[str, Value]) -> int | None:
        """The only value of a verb, which is a whole number or NULL; None where there is no row."""
        found = self.row(verb, parameters)
        return None if found is None else cast("int | None", found[0])

    def document(self, verb: str, parameters: Mapping[str, Value]) -> list[Json]:
        """The rows of a verb that aggregates them into one JSON array: one step, whatever their number."""
        found = self.row(verb, parameters)
        return [] if found is None or found[0] is None else cast("list[Json]", json.loads(cast("str", found[0])))

    def ask(self, text: str, parameters: Mapping[str, Value]) -> Sequence[Row]:
        """All rows of a question put together from parts of verbs."""
        return cast("list[Row]", self.connection.execute(text, parameters).fetchall())

    def binary(self, text: str) -> bytes:
        """SQLite's own form of a JSON text, for verbs of several statements that would parse it each for itself."""
        return cast("bytes", self.connection.execute("select jsonb(?)", (text,)).fetchall()[0][0])

    def text(self, verb: str) -> str:
        """The text of a verb, for those that are put together from parts."""
        return self._verbs[verb]

    def changes(self) -> int:
        """Rows that the last statement changed."""
        return self.connection.changes()

    def lanes_of(self, accounts: Iterable[str]) -> set[int]:
        """The lanes of these accounts, made where there is none."""
        wanted = dict.fromkeys(accounts)
        missing = [account for account in wanted if account not in self._lanes]
        if missing:
            for account, lane in self.rows("lanes_of", {"accounts": to_json(missing)}):
                self._lanes[cast("str", account)] = cast("int", lane)
        return {self._lanes[account] for account in wanted}

    def forget(self) -> None:
        """A transaction was rolled back: nothing that it told is true."""
        self.woken.clear()
        self._lanes.clear()


def open_writer(path: Path, verbs: Mapping[str, str]) -> Database:
    """The one connection that writes and checkpoints (SPOOL §1, the WAL-reset trap)."""
    connection = apsw.Connection(str(path), statementcachesize=_CACHED_STATEMENTS)
    return _ready(connection, _WRITER, verbs)


def open_reader(path: Path, verbs: Mapping[str, str]) -> Database:
    """A connection that cannot write."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=_CACHED_STATEMENTS)
    return _ready(connection, _READER, verbs)


def _ready(connection: apsw.Connection, pragmas: Sequence[str], verbs: Mapping[str, str]) -> Database:
    # plans must not depend on parameters: else a verb that reads a partial index is prepared again at each new value
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in pragmas:
        connection.execute(pragma).fetchall()
    return Database(connection, verbs)


def millis(seconds: float) -> Millis:
    """A duration in milliseconds."""
    return int(seconds * 1000)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
