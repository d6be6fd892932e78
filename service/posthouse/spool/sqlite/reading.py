"""What the dispatcher and settling work on: due messages and doubtful ones."""

from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Message, Millis, Priority
from posthouse.ports import Cursors
from posthouse.records import Unsettled
from posthouse.spool import rows
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.threads import Job

_BEFORE_ALL: Final = (-1, -1)


def peek(*, lane: int, now: Millis, most: int, after: Cursors) -> Job[Sequence[Message]]:
    """Due messages of a lane, some of every strand."""

    def read(db: Database) -> Sequence[Message]:
        strands = cast("list[tuple[int, str]]", db.document("strands", {"lane": lane}))
        if not strands:
            return ()
        begin = [(p, strand, *after.get((Priority(p), strand), _BEFORE_ALL)) for p, strand in strands]
        each = max(1, most // len(strands))
        values = {"lane": lane, "now": now, "strands": to_json(begin), "each": each}
        return [rows.message(cast("rows.MessageTuple", row)) for row in db.document("peek", values)]

    return read


def unsettled(*, now: Millis, most: int) -> Job[Sequence[Unsettled]]:
    """Unsettled messages whose look-up is due."""
    return lambda db: [
        rows.unsettled(cast("rows.UnsettledTuple", row)) for row in db.document("unsettled", {"now": now, "most": most})
    ]
