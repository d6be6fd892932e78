"""What an operator does to a database's spool from outside its processes: look, bring up, say that it is a copy."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from posthouse.message import Millis
from posthouse.spool.postgres import check as checking
from posthouse.spool.postgres import restoring
from posthouse.spool.postgres.database import Address, Database, Session, drop, explained
from posthouse.spool.postgres.schema import check_server, migrate, stands
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.reports import Report
from posthouse.spool.sealing import Secrets


async def check(address: Address, secrets: Secrets) -> Report:
    """The report about the whole spool; raises SpoolRefusedError where there is none, SpoolUnavailableError."""
    async with _session(address) as session:
        schema = await stands(session)
        if not schema:
            raise SpoolRefusedError("there is no spool in this database; `posthouse serve` makes one.")
        return await checking.check(session, secrets, schema=schema)


async def bring_up(address: Address) -> tuple[int, int]:
    """The schema before and after; raises SpoolRefusedError and SpoolUnavailableError."""
    async with _session(address) as session:
        await check_server(session)
        return await stands(session), await migrate(session)


async def mark_restored(address: Address, *, taken_at: Millis | None) -> Millis:
    """Say that this is a copy; the moment from which it is one. Raises SpoolRefusedError where a worker sends from it."""
    async with _session(address) as session:
        await check_server(session)
        await migrate(session)
        alive = [str(row[0]) for row in await session.rows("alive")]
        if alive:
            raise SpoolRefusedError(
                f"workers send from this database ({', '.join(alive)}): stop them first; one that was killed counts as "
                "alive for 10 s."
            )
        return await restoring.mark(session, taken_at or 0)


@asynccontextmanager
async def _session(address: Address) -> AsyncGenerator[Session]:
    session = await Database(address, most=1).connect(direct=True)
    try:
        with explained():
            yield session
    finally:
        await drop(session)
