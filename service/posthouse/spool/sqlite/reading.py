"""What the dispatcher and settling work on: due messages and doubtful ones."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Message, Millis
from posthouse.records import Unsettled
from posthouse.spool import rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import to_json


def peek(*, lane: int, now: Millis, most: int, without: Collection[tuple[str, ...]]) -> Job[Sequence[Message]]:
    """Due messages of a lane, those of some routes left out."""
    routes = to_json([to_json(route) for route in without]) if without else None
    values = {"lane": lane, "now": now, "most": most, "without": routes}
    return lambda db: [rows.message(cast("rows.MessageTuple", row)) for row in db.document("peek", values)]


def unsettled(*, now: Millis, most: int) -> Job[Sequence[Unsettled]]:
    """Unsettled messages whose look-up is due."""
    return lambda db: [
        rows.unsettled(cast("rows.UnsettledTuple", row)) for row in db.document("unsettled", {"now": now, "most": most})
    ]
