"""What time and dead processes do to messages: expiry, and recovery at start (PROMISES §5, §6)."""

from typing import cast

from posthouse.message import Millis, OnUnconfirmed
from posthouse.spool.rules import recovered
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, millis, to_json
from posthouse.spool.sqlite.sending import wake


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
        left = cast("list[tuple[int, int, int, str]]", db.rows("left_sending", {"worker": worker}))
        if not left:
            return 0
        rows = [
            _recovered(key, number, since=deadline_at + millis(grace), wish=OnUnconfirmed(wish))
            for key, number, deadline_at, wish in left
        ]
        db.run("recover", {"now": now, "rows": to_json(rows)})
        wake(db, [key for key, *_ in left])
        return len(left)

    return sweep


def _recovered(key: int, number: int, *, since: Millis, wish: OnUnconfirmed) -> tuple[object, ...]:
    """The order is that of recover.sql."""
    status, cause, looked_for, event = recovered(wish)
    return key, number, status, cause, since, since if looked_for else None, event
