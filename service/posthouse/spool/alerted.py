"""Rows of the alerts made into records and back, the same for all engines."""

from collections.abc import Sequence
from typing import Final

from posthouse.message import Millis
from posthouse.records import Alert, AlertRow
from posthouse.spool.rows import parsed

LONG: Final[Millis] = 604_800_000
"""After how long the end of an alert is told no more."""

AlertTuple = tuple[str, str, str, int, str, str, int, int | None, int | None]
"""The order is that of alerts.sql and claim_alerts.sql."""


def alert(row: AlertTuple) -> AlertRow:
    """An alert as it is kept."""
    return AlertRow(
        alert=Alert(
            key=row[0],
            subject=row[1],
            text=row[2],
            level=row[3],
            transports=tuple(parsed(row[4], list[str])),
            mailboxes=tuple(parsed(row[5], list[str])),
        ),
        raised_at=row[6],
        ended_at=row[7],
        told_at=row[8],
    )


def alert_rows(alerts: Sequence[Alert]) -> list[list[object]]:
    """What see_alerts.sql takes."""
    return [[one.key, one.subject, one.text, one.level, list(one.transports), list(one.mailboxes)] for one in alerts]


def name(row: AlertRow) -> dict[str, str | int]:
    """What names an alert, as it was when it was claimed."""
    return {"key": row.alert.key, "subject": row.alert.subject, "raised_at": row.raised_at}
