"""Brings a database to the schema that this version knows, by numbered migrations; replicas may run two versions.

A migration only adds (expand), or takes away what no running version uses any more (contract). ``oldest`` is the
oldest version of the schema whose code may still work with it: an older process goes on while a newer one has migrated.
"""

from typing import Final, cast

from asyncpg import exceptions as pg

from posthouse.spool.postgres.database import Session
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.steps import steps

OLDEST_SERVER: Final = 140_000
"""PostgreSQL 14: the oldest that is still maintained (postgresql.org/support/versioning)."""
_LOCK: Final = 0x504F5354
"""``POST``: one process migrates, the others wait."""


async def check_server(session: Session) -> None:
    """Raise SpoolRefusedError where the server is too old or not durable."""
    row = await session.row("server")
    version, fsync, full_page_writes, in_recovery, encoding, synchronous = cast(
        "tuple[int, str, str, bool, str, str]", tuple(row or (0, "off", "off", True, "", "off"))
    )
    if version < OLDEST_SERVER:
        raise SpoolRefusedError(f"the database is PostgreSQL {version // 10_000}; 14 or later is needed.")
    if fsync != "on" or full_page_writes != "on":
        raise SpoolRefusedError(
            "the database runs with fsync or full_page_writes off and can lose answered mail: switch both on."
        )
    if synchronous == "off":  # our own sessions switch it on; a pooler has others
        raise SpoolRefusedError(
            "behind the pooler the database answers with synchronous_commit = off and can lose answered mail: alter role "
            "… set synchronous_commit = on, for the user of [spool] url, and restart the pooler."
        )
    if in_recovery:
        raise SpoolRefusedError("the database is a standby, which cannot be written: give the address of the primary.")
    if encoding != "UTF8":
        raise SpoolRefusedError(f"the database's encoding is {encoding}; a spool needs UTF8.")


async def migrate(session: Session) -> int:
    """Apply what is missing, each migration in one transaction; the schema's version then."""
    whole = steps("postgres")
    known = max(whole)
    try:
        async with session.transaction():
            await session.run("migration_lock", lock=_LOCK)
            stands, oldest = await _standing(session)
            if oldest > known:
                raise SpoolRefusedError(
                    f"the spool has schema {stands}, which needs a posthouse that knows schema {oldest}; this one knows "
                    f"{known}: start the newer version again."
                )
            for number in range(stands + 1, known + 1):
                await session.script(whole[number].text)
                await session.run("migrated", version=number, oldest=whole[number].oldest)
            await session.run("lift_feed")
    except pg.InsufficientPrivilegeError as fault:
        raise SpoolRefusedError(
            "the database's user may not make tables: give it its own database (create database posthouse owner …)."
        ) from fault
    return max(stands, known)


async def stands(session: Session) -> int:
    """The schema of what is there; 0 where there is no spool."""
    async with session.transaction():
        version, _ = await _standing(session)
        return version


async def _standing(session: Session) -> tuple[int, int]:
    """The schema's version and the oldest that may work with it; a new database has 0."""
    await session.run("schema_table")
    row = await session.row("schema_version")
    return (0, 0) if row is None else cast("tuple[int, int]", tuple(row))
