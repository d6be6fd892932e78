"""A restored copy: what it holds unfinished may have been sent after it was made, and is in doubt first (PROMISES §5)."""

from collections.abc import Mapping
from typing import Final, cast

from posthouse.message import Millis, Status
from posthouse.records import Way
from posthouse.spool import rows
from posthouse.spool.rules import Doubt, doubt_of
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.threads import Job, Writer

COPIED_AT: Final = "copied_at"
"""The fact that makes a spool a copy: when it was made."""
ROWS_AT_ONCE: Final = 200


def mark(db: Database, taken_at: Millis) -> Millis:
    """Make the file a copy that was made at ``taken_at``, unless it says so of an earlier moment; that moment."""
    stands = db.number("fact", {"name": COPIED_AT})
    moment = taken_at if stands is None else min(stands, taken_at)
    db.run("set_fact", {"name": COPIED_AT, "value": moment})
    return moment


def mark_last_known(taken_at: Millis | None) -> Job[Millis]:
    """The same for a copy that others made; without a moment it is the last that the file knows of."""
    return lambda db: mark(db, taken_at if taken_at is not None else db.number("last_event", {}) or 0)


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
    await writer.write(lambda db: _end(db, now))
    return done


def _step(
    status: Status, after: int, values: Mapping[str, int], ways: Mapping[str, Way]
) -> Job[tuple[int | None, int]]:
    """One transaction: where to go on, None at the end, and how many came into doubt."""

    def step(db: Database) -> tuple[int | None, int]:
        asked = {"status": status.value, "after": after, "now": values["now"], "most": ROWS_AT_ONCE}
        found = [rows.waiting(cast("rows.WaitingTuple", row)) for row in db.rows("restorable", asked)]
        doubts = [doubt for one in found if (doubt := doubt_of(one, ways)) is not None]
        if doubts:
            db.lanes_of(doubt.account for doubt in doubts)
            db.run("restored", {**values, "rows": to_json([_row(doubt, values["now"]) for doubt in doubts])})
        return (found[-1].key if len(found) == ROWS_AT_ONCE else None), len(doubts)

    return step


def _row(doubt: Doubt, now: Millis) -> tuple[object, ...]:
    """The order is that of restored.sql."""
    status, cause = (Status.UNCONFIRMED, None) if doubt.looked_for else (Status.HELD, doubt.cause)
    look_at = now if doubt.looked_for else None
    event = f"message.{status.value}"
    where = (doubt.transport, doubt.kind, doubt.account)
    return doubt.key, doubt.number, *where, status, cause, look_at, doubt.held_before, event


def _end(db: Database, now: Millis) -> None:
    db.run("restored_doubts", {"now": now})
    db.run("forget_fact", {"name": COPIED_AT})
