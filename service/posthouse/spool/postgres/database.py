"""Connections to the spool's database: run the verbs of ``sql/postgres`` by name, tell faults of the store from bugs.

A verb is one statement in one file. Its parameters are written ``:name`` and travel as PostgreSQL's ``$1``.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg import exceptions as pg

from posthouse.ports import SpoolUnavailableError

Value = object
Row = Sequence[Value]

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 20.0
"""After which a statement is given up: the store is ill, whatever it still does with it."""
IDLE_SECONDS: Final = 5.0
"""After which PostgreSQL ends a transaction whose process went silent: it may hold locks that others wait for."""
LOCK_SECONDS: Final = 5.0

_COMMENT: Final = re.compile(r"--[^\n]*")
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_SESSION: Final = {
    "application_name": "posthouse",
    "synchronous_commit": "on",  # an answered commit survives power loss (SPOOL §1)
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",  # planning costs three times the execution of a peek (SPOOL §2)
    "idle_in_transaction_session_timeout": str(int(IDLE_SECONDS * 1000)),
    "lock_timeout": str(int(LOCK_SECONDS * 1000)),
}
_POOLER: Final = "the database speaks as a pooler does: behind PgBouncer in transaction mode set spool.pooler = true"
_STORE: Final = (
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.InsufficientResourcesError,
    pg.PostgresIOError,
    pg.ReadOnlySQLTransactionError,
    pg.TransactionRollbackError,
    pg.LockNotAvailableError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.InternalClientError,
    pg.InvalidAuthorizationSpecificationError,
    pg.InvalidCatalogNameError,
    OSError,
    TimeoutError,
)
"""What says something about the store or the way to it, not about the statement."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A verb as PostgreSQL takes it: its text, and the names of its parameters in their order."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the database is and how to speak to it; ``pooler``: PgBouncer stands between, in transaction mode."""

    dsn: str = field(repr=False)
    pooler: bool = False
    listen_dsn: str | None = field(default=None, repr=False)


def load_verbs() -> Mapping[str, str]:
    """The text of every verb by its name."""
    folder = files("posthouse.spool").joinpath("sql", "postgres")
    return {
        entry.name.removesuffix(".sql"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }


@lru_cache(maxsize=512)
def compiled(text: str) -> Statement:
    """The statement behind a verb's text, also of one that was put together from parts."""
    plain = _COMMENT.sub("", text).strip().removesuffix(";")
    names: dict[str, int] = {}
    placed = _PARAMETER.sub(lambda match: f"${names.setdefault(match[1], len(names) + 1)}", plain)
    return Statement(placed, tuple(names))


class Session:
    """One connection and the verbs it can run."""

    def __init__(self, connection: asyncpg.Connection, verbs: Mapping[str, str]) -> None:
        self.connection = connection
        self._verbs = verbs

    async def rows(self, verb: str, /, **values: Value) -> Sequence[Row]:
        """All rows of a verb."""
        return await self.ask(self._verbs[verb], values)

    async def row(self, verb: str, /, **values: Value) -> Row | None:
        """The first row of a verb, or None."""
        found = await self.rows(verb, **values)
        return found[0] if found else None

    async def number(self, verb: str, /, **values: Value) -> int | None:
        """The only value of a verb, which is a whole number or NULL; None where there is no row."""
        found = await self.row(verb, **values)
        return None if found is None else cast("int | None", found[0])

    async def run(self, verb: str, /, **values: Value) -> None:
        """Run a verb for its effect."""
        await self.rows(verb, **values)

    async def ask(self, text: str, values: Mapping[str, Value]) -> Sequence[Row]:
        """All rows of a statement put together from parts of verbs."""
        statement = compiled(text)
        given = [values[name] for name in statement.names]
        return cast("Sequence[Row]", await self.connection.fetch(statement.text, *given))

    async def script(self, text: str) -> None:
        """Run a script of several statements without parameters."""
        await self.connection.execute(text)

    def text(self, verb: str) -> str:
        """The text of a verb, for those that are put together from parts."""
        return self._verbs[verb]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        """What is inside commits together."""
        async with self.connection.transaction():
            yield


class Database:
    """The connections of one process: a few that anybody takes for a moment, and single ones for those that ask."""

    def __init__(self, address: Address, *, most: int) -> None:
        self._address = address
        self._verbs = load_verbs()
        self._idle: list[Session] = []
        self._room = asyncio.Semaphore(most)
        self._closed = False

    async def connect(self, *, direct: bool = False) -> Session:
        """A new connection; ``direct`` goes past a pooler where the settings know a way. Raises SpoolUnavailableError."""
        address = self._address
        dsn = address.listen_dsn if direct and address.listen_dsn else address.dsn
        pooled = address.pooler and dsn == address.dsn
        with explained():
            connection = await asyncpg.connect(
                dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                # a pooler in transaction mode hands each transaction another server: it knows no statement of ours
                statement_cache_size=0 if pooled else 200,
                max_cacheable_statement_size=0,
                server_settings=None if pooled else _SESSION,
                **_security(dsn),
            )
        return Session(connection, self._verbs)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """A connection for a moment; raises SpoolUnavailableError for what ails the store."""
        if self._closed:
            raise SpoolUnavailableError("the spool is closed")
        async with self._room:
            session = self._idle.pop() if self._idle else await self.connect()
            sound = False
            try:
                with explained():
                    yield session
                sound = True
            except (pg.PostgresError, ValueError, TypeError):
                sound = True  # the statement's fault, not the connection's
                raise
            finally:
                if sound and not self._closed and not session.connection.is_closed():
                    self._idle.append(session)
                else:
                    await drop(session)

    async def close(self) -> None:
        """Close the connections that nobody uses; those in use are closed when they come back."""
        self._closed = True
        while self._idle:
            await drop(self._idle.pop())


def _security(dsn: str) -> Mapping[str, ssl.SSLContext]:
    """Over a network the server must prove who it is, unless the address says otherwise (sslmode=…)."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    hosts = [host for given in (parts.hostname, *query.get("host", ())) if given for host in given.split(",")]
    local = all(host.startswith(("/", "127.")) or host in {"localhost", "::1"} for host in hosts)
    return {} if local or "sslmode" in query else {"ssl": ssl.create_default_context()}


async def drop(session: Session) -> None:
    """Close a connection without waiting for a server that may be gone."""
    connection = session.connection
    if connection.is_closed():
        return
    try:
        await connection.close(timeout=1.0)
    except (pg.PostgresError, pg.InterfaceError, OSError, TimeoutError):
        connection.terminate()


@contextlib.contextmanager
def explained() -> Generator[None]:
    """What ails the store becomes SpoolUnavailableError, in words without address or password."""
    try:
        yield
    except (pg.InvalidSQLStatementNameError, pg.ProtocolViolationError) as fault:
        raise SpoolUnavailableError(f"{_POOLER} ({type(fault).__name__})") from fault
    except _STORE as fault:
        raise unavailable(fault) from fault
    except pg.InterfaceError as fault:
        if "closed" not in str(fault) and "released" not in str(fault):
            raise
        raise unavailable(fault) from fault


def unavailable(fault: BaseException) -> SpoolUnavailableError:
    """The fault of the store in words."""
    if isinstance(fault, pg.DiskFullError):
        return SpoolUnavailableError("the disk under the database is full", full=True)
    if isinstance(fault, pg.InvalidAuthorizationSpecificationError):
        return SpoolUnavailableError("the database refuses the login: see user and password in [spool] url")
    if isinstance(fault, pg.InvalidCatalogNameError):
        return SpoolUnavailableError("the server has no database of the name in [spool] url")
    if isinstance(fault, pg.PostgresError):
        return SpoolUnavailableError(f"the database says {getattr(fault, 'sqlstate', '?????')}: {type(fault).__name__}")
    if isinstance(fault, TimeoutError):
        return SpoolUnavailableError("the database does not answer")
    return SpoolUnavailableError(f"the database cannot be reached: {type(fault).__name__}")
