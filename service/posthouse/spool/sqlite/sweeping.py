"""What time, dead processes and set clocks do to messages, and how it is made good (PROMISES §5 to §7)."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.spool import loads
from posthouse.spool.loads import CLOCKS_WANDER, DIED, LOST
from posthouse.spool.rows import LeftTuple, left
from posthouse.spool.rules import Left
from posthouse.spool.sqlite.blocks import let_go
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, millis, to_json
from posthouse.spool.sqlite.drafts import requeue_unsent
from posthouse.spool.sqlite.lanes import reckon
from posthouse.spool.sqlite.sending import wake, wake_looks


def expire(*, now: Millis, most: int) -> Job[int]:
    """End queued and held rows whose client's own expiry is over; unsettled ones lose the right to be sent again."""

    def sweep(db: Database) -> int:
        rows = cast("list[tuple[int, int]]", db.rows("expired", {"now": now, "most": most}))
        over = [key for key, unsettled in rows if not unsettled]
        doubtful = [key for key, unsettled in rows if unsettled]
        if over:
            db.run("expire", {"now": now, "messages": to_json(over)})
        if doubtful:
            db.run("expire_right", {"now": now, "messages": to_json(doubtful)})
        return len(over)

    return sweep


def recover(*, now: Millis, grace: float, worker: int, owner: str) -> Job[int]:
    """Rows that another process left in ``sending`` are unconfirmed from their deadline plus ``grace`` seconds."""

    def sweep(db: Database) -> int:
        db.run("free_leases", {"owner": owner})
        db.run("lane_of_unsettled", {})
        unsent = requeue_unsent(db, now=now, worker=worker)
        lost = _left(db.rows("left_sending", {"worker": worker}))
        return unsent + _recover(db, lost, now=now, grace=grace, how=DIED)

    return sweep


def recover_lost(*, now: Millis, grace: float, live: Collection[int]) -> Job[int]:
    """Rows of this process in ``sending`` that nobody carries any more."""
    asked = {"before": now - millis(grace), "live": to_json(list(live))}

    def sweep(db: Database) -> int:
        return _recover(db, _left(db.rows("lost_sending", asked)), now=now, grace=grace, how=LOST)

    return sweep


def free_held(*, now: Millis, transports: Collection[str], carrying: Collection[str], most: int) -> Job[int]:
    """Held rows whose cause is gone are queued again."""
    asked = {"transports": to_json(list(transports)), "carrying": to_json(list(carrying)), "most": most}

    def sweep(db: Database) -> int:
        found = cast("Sequence[tuple[int, str]]", db.rows("freed", asked))
        let_go(db, [(key, f"{cause}_gone") for key, cause in found], at=now)
        return len(found)

    return sweep


def wake_sleepers(db: Database) -> int:
    """Lanes that have something to do and do not know when."""
    return _reckon(db, "sleepers", {})


def turn_back(*, now: Millis) -> Job[Millis]:
    """By how much the clock was set back, after nothing waits for that any more."""

    def sweep(db: Database) -> Millis:
        by = (db.number("latest", {}) or 0) - now
        if by <= CLOCKS_WANDER:
            return 0
        _reckon(db, "turned_back", {"now": now, "by": by})
        return by

    return sweep


def _reckon(db: Database, verb: str, asked: dict[str, int]) -> int:
    lanes = [cast("int", row[0]) for row in db.rows(verb, asked)]
    for lane in lanes:
        reckon(db, lane)
    db.woken |= set(lanes)
    return len(lanes)


def _left(rows: Sequence[tuple[object, ...]]) -> list[Left]:
    return [left(row) for row in cast("Sequence[LeftTuple]", rows)]


def _recover(db: Database, lost: Sequence[Left], *, now: Millis, grace: float, how: dict[str, str]) -> int:
    if lost:
        rows = loads.recovered(lost, now=now, grace=millis(grace))
        db.run("recover", {"now": now, "rows": to_json(rows), **how})
        keys = [one.key for one in lost]
        wake(db, keys)
        wake_looks(db, keys)
    return len(lost)
