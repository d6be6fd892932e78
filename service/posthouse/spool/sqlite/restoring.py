"""A restored copy: what it holds unfinished may have been sent after it was made, and is in doubt first (PROMISES §5)."""

from collections.abc import Mapping
from typing import Final, cast

from posthouse.message import Millis, Status
from posthouse.records import Way
from posthouse.spool import loads, rows
from posthouse.spool.doubts import Doubt, beyond_looking, doubt_of
from posthouse.spool.rules import CAUSE_UNCONFIRMED
from posthouse.spool.sqlite.committing import Job, Writer
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.sending import wake_looks

MOVED_AT: Final = "moved_at"
"""The fact that another spool took this one's place: when."""
COPIED_AT: Final = "copied_at"
"""The fact that makes a spool a copy: when it was made."""
ROWS_AT_ONCE: Final = 200


def mark(db: Database, taken_at: Millis) -> Millis:
    """Make the file a copy that was made at ``taken_at``, but not before the last thing it knows of; that moment."""
    moment = max(taken_at, db.number("last_event", {}) or 0)
    db.run("set_fact", {"name": COPIED_AT, "value": moment})
    db.run("forget_fact", {"name": MOVED_AT})
    return moment


async def restore(writer: Writer, *, worker: int, now: Millis, ways: Mapping[str, Way]) -> int | None:
    """Put what was due by ``now`` in doubt, in small steps that a crash may interrupt; None where it is no copy."""
    taken_at = await writer.write(lambda db: db.number("fact", {"name": COPIED_AT}))
    if taken_at is None:
        return None
    values = {"worker": worker, "taken_at": taken_at, "now": now}
    done = 0
    for status in (Status.QUEUED, Status.HELD):
        after: int | None = 0
        while after is not None:
            after, some = await writer.write(_step(status, after, values, ways))
            done += some
    await writer.write(lambda db: _end(db, now, ways))
    return done


def _step(
    status: Status, after: int, values: Mapping[str, int], ways: Mapping[str, Way]
) -> Job[tuple[int | None, int]]:
    """One transaction: where to go on, None at the end, and how many came into doubt."""

    def step(db: Database) -> tuple[int | None, int]:
        taken_at, due_by = values["taken_at"], loads.due_by(values["now"], values["taken_at"])
        asked = {"status": status.value, "after": after, "due_by": due_by, "taken_at": taken_at}
        found = [
            rows.waiting(cast("rows.WaitingTuple", row))
            for row in db.rows("restorable", {**asked, "most": ROWS_AT_ONCE})
        ]
        doubts = [doubt for one in found if (doubt := doubt_of(one, ways)) is not None]
        if doubts:
            db.lanes_of(doubt.account for doubt in doubts)
            db.run("restored", {**values, "rows": to_json([_row(doubt, values["now"]) for doubt in doubts])})
            wake_looks(db, [doubt.key for doubt in doubts])
        return (found[-1].key if len(found) == ROWS_AT_ONCE else None), len(doubts)

    return step


def _row(doubt: Doubt, now: Millis) -> tuple[object, ...]:
    """The order is that of restored.sql."""
    where = (doubt.transport, doubt.kind, doubt.account)
    return doubt.key, doubt.number, *where, *loads.restored(doubt, now)


def _end(db: Database, now: Millis, ways: Mapping[str, Way]) -> None:
    left = [rows.doubt_left(cast("rows.DoubtLeftTuple", row)) for row in db.rows("doubts_left", {})]
    held = beyond_looking(left, ways)
    db.run("hold_doubts", {"messages": to_json(held), "cause": CAUSE_UNCONFIRMED, "now": now})
    wake_looks(db, [cast("int", row[0]) for row in db.rows("restored_doubts", {"now": now})])
    db.run("forget_fact", {"name": COPIED_AT})
