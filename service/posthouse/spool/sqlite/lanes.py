"""Lanes: who may send for an account, from what its pace goes on, and when it has something to do (PROMISES §7)."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.records import Lease, Pause
from posthouse.spool.rows import WHOLE_LANE
from posthouse.spool.rows import pause as pause_of
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json

PACE_WINDOW: Final[Millis] = 60_000
"""The sliding window over attempt starts (PROMISES §7)."""


def lease(*, owner: str, now: Millis, most: int) -> Job[Sequence[Lease]]:
    """Take lanes that have something due and no owner; each new lease has a higher fence."""

    def take(db: Database) -> Sequence[Lease]:
        taken = cast("Sequence[tuple[int, str, int]]", db.rows("lease", {"owner": owner, "now": now, "most": most}))
        if not taken:
            return ()
        starts, pauses = _past(db, [lane for lane, _, _ in taken], since=now - PACE_WINDOW)
        return [
            Lease(lane=lane, account=account, fence=fence, starts=tuple(starts[lane]), pauses=tuple(pauses[lane]))
            for lane, account, fence in taken
        ]

    return take


def _past(
    db: Database, lanes: Sequence[int], *, since: Millis
) -> tuple[defaultdict[int, list[Millis]], defaultdict[int, list[Pause]]]:
    row = db.row("lease_past", {"lanes": to_json(lanes), "since": since})
    text = cast("str", row[0]) if row else "[[],[]]"
    first, second = cast("tuple[list[tuple[int, int]], list[tuple[int, str, int, str, int, int]]]", json.loads(text))
    starts: defaultdict[int, list[Millis]] = defaultdict(list)
    for lane, at in first:
        starts[lane].append(at)
    pauses: defaultdict[int, list[Pause]] = defaultdict(list)
    for lane, transport, until, reason, blocked, at in second:
        pauses[lane].append(pause_of((transport, until, reason, blocked, at)))
    return starts, pauses


def release(*, lane: int, fence: int) -> Job[None]:
    """Give a lane back, if the lease is still this one, and reckon when it has something to do."""

    def give(db: Database) -> None:
        db.run("release", {"lane": lane, "fence": fence})
        if db.changes():
            db.run("reckon_lane", {"lane": lane})

    return give


def pause(*, lane: int, pause: Pause) -> Job[None]:
    """Write a pause down; the lane sleeps until its end."""

    def write(db: Database) -> None:
        parameters = {
            "lane": lane,
            "transport": pause.transport or WHOLE_LANE,
            "until": pause.until,
            "reason": pause.reason,
            "blocked": int(pause.blocked),
            "since": pause.since,
        }
        db.run("pause", parameters)
        db.run("reckon_lane", {"lane": lane})
        db.woken.add(lane)

    return write


def resume(*, lane: int, transport: str | None) -> Job[None]:
    """End a pause; the lane wakes."""

    def write(db: Database) -> None:
        db.run("resume", {"lane": lane, "transport": transport or WHOLE_LANE})
        db.run("reckon_lane", {"lane": lane})
        db.woken.add(lane)

    return write


def defer(*, key: int, lane: int, due_at: Millis) -> Job[None]:
    """Move a queued row's due time."""

    def write(db: Database) -> None:
        db.run("defer", {"message": key, "due_at": due_at})
        db.run("reckon_lane", {"lane": lane})
        db.woken.add(lane)

    return write
