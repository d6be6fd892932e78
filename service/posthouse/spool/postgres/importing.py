"""Fills an empty database with a spool that another engine kept, in one transaction (SPOOL §8)."""

import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

from posthouse.message import Millis
from posthouse.spool.postgres.database import Address, Database, Session, Value, drop, explained
from posthouse.spool.postgres.schema import check_server, migrate
from posthouse.spool.postgres.unlocking import unlock
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Secrets

COPY_SECONDS: Final = 86_400.0
"""How long one table may take."""
MOVED_AT: Final = "moved_at"
_CONSTANT: Final[Mapping[str, Mapping[str, Value]]] = {
    "lanes": {"owner": None},
    "attempts": {"worker": 0},  # nobody's: what it left under way is found out by whoever starts first
}
_NUMBERED_ANEW: Final = frozenset({"audit", "idempotency"})
"""Tables whose ids nothing refers to: some rows may be there already."""
_FROM: Final[Mapping[str, Callable[[Value], Value]]] = {
    "boolean": lambda value: None if value is None else bool(value),
    "uuid": lambda value: None if value is None else uuid.UUID(bytes=cast("bytes", value)),
}

Rows = tuple[tuple[str, ...], Iterator[Sequence[Value]]]
"""The names of a table's columns, and its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A spool: its tables by name in an order in which they can be written, what its masters are, the lost events."""

    tables: Sequence[str]
    rows: Callable[[str], Rows]
    masters: Sequence[str]
    lost_events: int


class Import:
    """One fill; ``began`` is when the other spool was given up, which tells a repeated move from another."""

    def __init__(self, session: Session, *, began: Millis) -> None:
        self._session = session
        self._began = began
        self.written = False
        """Whether all was written, so that only the commit is in question."""

    async def run(self, whole: Whole) -> Mapping[str, int] | None:
        """Write it; how many rows of each table, None where this very move was done before; raises SpoolRefusedError."""
        session = self._session
        async with session.transaction():
            await session.run("lock_all")
            if await session.number("fact", name=MOVED_AT) == self._began:
                return None
            if await session.row("import_room") is not None:
                raise SpoolRefusedError(
                    "the database holds messages or clients already: a spool is moved only into an empty one. Nothing was "
                    "changed."
                )
            known = {row[0] for row in await session.rows("masters")}
            for name in whole.masters:
                if name not in known:
                    await session.run("add_master", key_id=name, at=self._began)
            counts = {table: await self._fill(table, whole.rows(table)) for table in whole.tables}
            await session.run("import_end", purged=whole.lost_events)
            self.written = True
        return counts

    async def _fill(self, table: str, found: Rows) -> int:
        names, rows = found
        if not names:
            return 0
        types = {
            cast("str", name): cast("str", kind)
            for name, kind in await self._session.rows("columns_of", table_name=table)
        }
        constant = dict(_CONSTANT.get(table, {}))
        if table == "chunks":
            constant["at"] = self._began
        taken = [
            name
            for name in names
            if name in types and name not in constant and not (name == "id" and table in _NUMBERED_ANEW)
        ]
        columns = [*taken, *constant]
        places = [(names.index(name), _FROM.get(types[name])) for name in taken]
        if table == "lanes":
            places[taken.index("account")] = (names.index("account"), lambda value: str(value).lower())
        counter = _Counter(rows)
        await self._session.connection.copy_records_to_table(
            table,
            records=_records(counter, places, tuple(constant.values())),
            columns=columns,
            timeout=COPY_SECONDS,
        )
        return counter.count


class _Counter:
    """Rows that are counted as they pass."""

    def __init__(self, rows: Iterable[Sequence[Value]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Sequence[Value]]:
        for row in self._rows:
            self.count += 1
            yield row


def _records(
    rows: Iterable[Sequence[Value]],
    places: Sequence[tuple[int, Callable[[Value], Value] | None]],
    constant: tuple[Value, ...],
) -> Iterator[tuple[Value, ...]]:
    for row in rows:
        yield (*(row[at] if made is None else made(row[at]) for at, made in places), *constant)


@asynccontextmanager
async def opened(address: Address, *, secrets: Secrets, masters: Sequence[str], now: Millis) -> AsyncGenerator[Session]:
    """A connection to a database with this version's schema that can open what is sealed under ``masters``.

    Raises SpoolRefusedError and SpoolUnavailableError.
    """
    session = await Database(address, most=1).connect(direct=True)
    try:
        await check_server(session)
        await migrate(session)
        keyring = await unlock(session, secrets, now=now)
        lost = [name for name in masters if name not in keyring.key_ids]
        if lost:
            raise SpoolRefusedError(
                f"the spool is sealed under the master with the key id {', '.join(lost)}, which the settings do not name: "
                "give it as [secrets] master, or in [secrets] previous (file:/var/lib/posthouse/spool.sqlite.master). "
                "Nothing was changed."
            )
        with explained():
            yield session
    finally:
        await drop(session)
