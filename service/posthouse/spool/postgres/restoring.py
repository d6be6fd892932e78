"""A restored copy: what it holds unfinished may have been sent after it was made, and is in doubt first (PROMISES §5)."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from posthouse.message import Millis, Status
from posthouse.records import Way
from posthouse.spool import loads, rows
from posthouse.spool.doubts import Doubt, beyond_looking, doubt_of
from posthouse.spool.postgres.database import Database, Session
from posthouse.spool.postgres.known import Lanes
from posthouse.spool.postgres.waking import Waker
from posthouse.spool.rules import CAUSE_UNCONFIRMED

COPIED_AT: Final = "copied_at"
"""The fact that makes a spool a copy: when it was made."""
ROWS_AT_ONCE: Final = 500
_COLUMNS: Final = (
    "messages", "numbers", "transports", "kinds", "lanes", "statuses", "causes", "looks", "befores", "events",
)  # fmt: skip
"""The order is that of restored.sql."""


async def mark(session: Session, taken_at: Millis) -> Millis:
    """Make the database a copy that was made at ``taken_at``, but not before the last thing it knows of; that moment."""
    async with session.transaction():
        moment = max(taken_at, await session.number("last_event") or 0)
        await session.run("set_fact", name=COPIED_AT, value=moment)
    return moment


class Restoring:
    """Puts what was due in doubt, in steps that take turns between processes and that a crash may interrupt."""

    def __init__(self, database: Database, lanes: Lanes, waker: Waker, *, worker: int) -> None:
        self._database = database
        self._lanes = lanes
        self._waker = waker
        self._worker = worker

    async def run(self, *, now: Millis, ways: Mapping[str, Way]) -> int | None:
        """How many came into doubt; None where it is no copy."""
        done: int | None = None
        status, after = Status.QUEUED, 0
        while True:
            async with self._database.session() as session:
                async with session.transaction():
                    taken_at = await session.number("fact", name=COPIED_AT)
                    if taken_at is None:
                        return done
                    found = await self._found(session, status, after, now=now, taken_at=taken_at)
                    doubts = [doubt for one in found if (doubt := doubt_of(one, ways)) is not None]
                    keys = await self._write(session, doubts, now=now, taken_at=taken_at)
                    last = len(found) < ROWS_AT_ONCE and status is Status.HELD
                    if last:
                        await _hold(session, now=now, ways=ways)
                        keys += [cast("int", row[0]) for row in await session.rows("restored_doubts", now=now)]
                        await session.run("forget_fact", name=COPIED_AT)
                await self._waker.messages(session, keys)
            done = (done or 0) + len(doubts)
            if last:
                return done
            status, after = (status, found[-1].key) if len(found) == ROWS_AT_ONCE else (Status.HELD, 0)

    async def _found(
        self, session: Session, status: Status, after: int, *, now: Millis, taken_at: Millis
    ) -> Sequence[rows.Waiting]:
        asked = {"status": status.value, "after": after, "taken_at": taken_at, "most": ROWS_AT_ONCE}
        found = await session.rows("restorable", due_by=loads.due_by(now, taken_at), **asked)
        return [rows.waiting(cast("rows.WaitingTuple", row)) for row in found]

    async def _write(self, session: Session, doubts: Sequence[Doubt], *, now: Millis, taken_at: Millis) -> list[int]:
        if not doubts:
            return []
        lanes = await self._lanes.ids(doubt.account for doubt in doubts)
        written = [
            (
                doubt.key,
                doubt.number,
                doubt.transport,
                doubt.kind,
                lanes[doubt.account.lower()],
                *loads.restored(doubt, now),
            )
            for doubt in doubts
        ]
        columns = dict(zip(_COLUMNS, map(list, zip(*written, strict=True)), strict=True))
        await session.run("restored", worker=self._worker, now=now, taken_at=taken_at, **columns)
        return [doubt.key for doubt in doubts]


async def _hold(session: Session, *, now: Millis, ways: Mapping[str, Way]) -> None:
    left = [rows.doubt_left(cast("rows.DoubtLeftTuple", tuple(row))) for row in await session.rows("doubts_left")]
    await session.run("hold_doubts", messages=beyond_looking(left, ways), cause=CAUSE_UNCONFIRMED, now=now)
