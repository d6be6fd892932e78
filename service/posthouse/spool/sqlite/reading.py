"""What the dispatcher and settling work on: due messages and doubtful ones."""

from collections.abc import Collection, Sequence
from typing import Final, cast

from posthouse.message import Message, Millis, Priority
from posthouse.ports import Cursors
from posthouse.records import Presence, TransportKind, Unsettled
from posthouse.spool import rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json

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


def unsettled(*, now: Millis, most: int, lanes: Collection[int]) -> Job[Sequence[Unsettled]]:
    """Unsettled messages of these lanes whose look-up is due."""
    values = {"now": now, "most": most, "lanes": to_json(list(lanes))}
    return lambda db: [rows.unsettled(cast("rows.UnsettledTuple", row)) for row in db.document("unsettled", values)]


def next_look(*, lanes: Collection[int]) -> Job[Millis | None]:
    """When the next look-up of these lanes is due."""
    return lambda db: db.number("next_look", {"lanes": to_json(list(lanes))})


def asks(*, now: Millis, most: int, lanes: Collection[int]) -> Job[Sequence[tuple[int, Presence]]]:
    """Where a fresh witness is looked for now, by lane."""
    values = {"now": now, "most": most, "lanes": to_json(list(lanes))}

    def read(db: Database) -> Sequence[tuple[int, Presence]]:
        found = db.rows("asks", values)
        return [(cast("int", row[0]), rows.presence(cast("rows.PresenceTuple", row[1:]))) for row in found]

    return read


def presences(db: Database) -> Sequence[Presence]:
    """Whether copies are found, for every account that was ever asked."""
    return [rows.presence(cast("rows.PresenceTuple", row)) for row in db.rows("presences", {})]


def presence(*, account: str, kind: TransportKind, own: bool) -> Job[Presence | None]:
    """The same for one."""

    def read(db: Database) -> Presence | None:
        row = db.row("presence_of", {"account": account, "kind": kind, "own": int(own)})
        return None if row is None else rows.presence(cast("rows.PresenceTuple", row))

    return read
