"""What the dispatcher and settling work on: due messages and doubtful ones."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import (
    Envelope,
    Kind,
    Message,
    Millis,
    OnUnconfirmed,
    Priority,
    Recipient,
    id_from_bytes,
)
from posthouse.records import TransportKind, Unsettled
from posthouse.spool.sqlite.database import to_json
from posthouse.spool.sqlite.threads import Job

_MessageRow = tuple[
    int, str, str, int, str, str, str, str | None, list[tuple[str, str]], str, int, list[str], str | None, int, int, int,
    int, int | None, int, int, str, int, int | None,
]  # fmt: skip
"""The order is that of peek.sql."""
_UnsettledRow = tuple[_MessageRow, int, str, TransportKind, str, int, int, int, int | None, int, int]
"""The order is that of unsettled.sql."""


def peek(*, lane: int, now: Millis, most: int, without: Collection[tuple[str, ...]]) -> Job[Sequence[Message]]:
    """Due messages of a lane, those of some routes left out."""
    routes = to_json([to_json(route) for route in without]) if without else None
    values = {"lane": lane, "now": now, "most": most, "without": routes}
    return lambda db: [_message(cast("_MessageRow", row)) for row in db.document("peek", values)]


def unsettled(*, now: Millis, most: int) -> Job[Sequence[Unsettled]]:
    """Unsettled messages whose look-up is due."""
    return lambda db: [
        _unsettled(cast("_UnsettledRow", row)) for row in db.document("unsettled", {"now": now, "most": most})
    ]


def _message(row: _MessageRow) -> Message:
    envelope = Envelope(row[7], tuple(Recipient(address, Kind(kind)) for address, kind in row[8]))
    return Message(
        key=row[0],
        id=id_from_bytes(bytes.fromhex(row[1])),
        client=row[2],
        lane=row[3],
        account=row[4],
        mailbox=row[5],
        sender=row[6],
        envelope=envelope,
        message_id=row[9],
        own_message_id=bool(row[10]),
        route=tuple(row[11]),
        next_transport=row[12],
        priority=Priority(row[13]),
        size=row[14],
        accepted_at=row[15],
        due_at=row[16],
        expires_at=row[17],
        gives_up_at=row[18],
        attempts=row[19],
        on_unconfirmed=OnUnconfirmed(row[20]),
        accept_duplicate=bool(row[21]),
        first_tried_at=row[22],
    )


def _unsettled(row: _UnsettledRow) -> Unsettled:
    message, number, transport, kind, account, started_at, since, looks, last_absent_at, may_resend, held = row
    return Unsettled(
        message=_message(message),
        number=number,
        transport=transport,
        kind=kind,
        account=account,
        started_at=started_at,
        since=since,
        looks=looks,
        last_absent_at=last_absent_at,
        may_resend=bool(may_resend),
        held=bool(held),
    )
