"""What is wrong or will be soon, and whom it was told."""

import json
from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import Alert, AlertRow
from posthouse.spool import alerted
from posthouse.spool.postgres.database import Session


async def see(
    session: Session, seen: Sequence[Alert], *, now: Millis, before: Millis, passing: Collection[str]
) -> None:
    """Write down what is wrong now, and end what nobody sees any more."""
    async with session.transaction():
        # in one order, so that two processes never wait for each other
        rows = sorted(alerted.alert_rows(seen), key=lambda row: row[:2])
        await session.run("see_alerts", rows=json.dumps(rows), now=now)
        told = json.dumps(sorted(passing))
        await session.run("alerts_over", long_ago=now - alerted.LONG, before=before, passing=told)
        await session.run("end_alerts", now=now, before=before)


async def claim(session: Session, *, now: Millis) -> Sequence[AlertRow]:
    """Take those that nobody was told of."""
    return _rows(await session.rows("claim_alerts", now=now))


async def told(session: Session, row: AlertRow, *, at: Millis) -> None:
    """Somebody was told."""
    if row.ended_at is not None:
        await session.run("forget_alert", **alerted.name(row))
    else:
        await session.run("alert_told", **alerted.name(row), level=row.alert.level, at=at)


async def alerts(session: Session) -> Sequence[AlertRow]:
    """Those that stand."""
    return _rows(await session.rows("alerts"))


def _rows(rows: Sequence[object]) -> Sequence[AlertRow]:
    return [alerted.alert(cast("alerted.AlertTuple", row)) for row in rows]
