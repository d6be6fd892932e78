"""What is wrong or will be soon, and whom it was told."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import Alert, AlertRow
from posthouse.spool import alerted
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json


def see(seen: Sequence[Alert], *, now: Millis, before: Millis, passing: Collection[str]) -> Job[None]:
    """Write down what is wrong now, and end what nobody sees any more."""
    told = to_json(alerted.alert_rows(seen))
    over = {"long_ago": now - alerted.LONG, "before": before, "passing": to_json(sorted(passing))}

    def write(db: Database) -> None:
        db.run("see_alerts", {"rows": told, "now": now})
        db.run("alerts_over", over)
        db.run("end_alerts", {"now": now, "before": before})

    return write


def claim(*, now: Millis) -> Job[Sequence[AlertRow]]:
    """Take those that nobody was told of."""
    return lambda db: _rows(db.rows("claim_alerts", {"now": now}))


def told(row: AlertRow, *, at: Millis) -> Job[None]:
    """Somebody was told."""
    name = alerted.name(row)
    if row.ended_at is not None:
        return lambda db: db.run("forget_alert", name)
    return lambda db: db.run("alert_told", {**name, "level": row.alert.level, "at": at})


def alerts(db: Database) -> Sequence[AlertRow]:
    """Those that stand."""
    return _rows(db.rows("alerts", {}))


def _rows(rows: Sequence[object]) -> Sequence[AlertRow]:
    return [alerted.alert(cast("alerted.AlertTuple", row)) for row in rows]
