"""Moves a SQLite spool into PostgreSQL: the file is given up before the database takes its messages over."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posthouse.spool.postgres.database import Address
    from posthouse.spool.sealing import Secrets


async def move(file: Path, address: "Address", secrets: "Secrets") -> Mapping[str, int] | None:
    """How many rows of each table went over; None where all of them had before.

    Raises SpoolRefusedError and SpoolUnavailableError; where the database certainly took nothing, the file goes on.
    """
    from posthouse.assembly import owner
    from posthouse.clock import SteadyClock
    from posthouse.spool.postgres.importing import Import, Whole, opened
    from posthouse.spool.sqlite.export import TABLES, exported

    clock = SteadyClock()
    async with (
        exported(file, owner=owner(), clock=clock, secrets=secrets) as source,
        opened(address, secrets=secrets, masters=source.masters, now=clock.now()) as session,
    ):
        before = source.moved_at
        filling = Import(session, began=source.give_up(clock.now()))
        whole = Whole(tables=TABLES, rows=source.rows, masters=source.masters, lost_events=source.lost_events)
        try:
            return await filling.run(whole)
        except BaseException:
            if not filling.written and before is None:
                source.go_on()
            raise
