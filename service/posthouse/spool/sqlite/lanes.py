"""Lanes: who may send for an account, from what its pace goes on, and when it has something to do (PROMISES §7)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import Lease, Move, Moved, Past, Pause, Told
from posthouse.spool import loads, rows
from posthouse.spool.rows import WHOLE_LANE
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.sending import wake


def lease(*, owner: str, now: Millis, most: int) -> Job[Sequence[Lease]]:
    """Take lanes that have something due and no owner; each new lease has a higher fence."""

    def take(db: Database) -> Sequence[Lease]:
        taken = cast("Sequence[rows.LeaseTuple]", db.rows("lease", {"owner": owner, "now": now, "most": most}))
        if not taken:
            return ()
        pauses: defaultdict[int, list[Pause]] = defaultdict(list)
        for lane, *pause in db.rows("lease_pauses", {"lanes": to_json([row[0] for row in taken])}):
            pauses[cast("int", lane)].append(rows.pause(pause))
        return [rows.lease(row, pauses=pauses[row[0]]) for row in taken]

    return take


def past(*, lanes: Sequence[int], now: Millis) -> Job[Mapping[int, Past]]:
    """What the accounts of these lanes used up lately."""

    def read(db: Database) -> Mapping[int, Past]:
        asked = {"lanes": to_json(list(lanes)), **loads.past_since(now)}
        return rows.pasts(cast("rows.PastTuples", db.document("past", asked)), lanes=lanes)

    return read


def recipient_hours(*, since: Millis) -> Job[Sequence[tuple[int, int]]]:
    """The recipients of all accounts together, by hours."""
    return lambda db: cast("Sequence[tuple[int, int]]", db.rows("recipient_hours", {"hour": since // loads.HOUR}))


def release(*, lane: int, fence: int) -> Job[None]:
    """Give a lane back, if the lease is still this one, and reckon when it has something to do."""

    def give(db: Database) -> None:
        db.run("release", {"lane": lane, "fence": fence})
        if db.changes():
            reckon(db, lane)

    return give


def reckon(db: Database, lane: int) -> None:
    """Write down when a lane has something to do."""
    db.run("reckon_lane", {"lane": lane, "due_at": db.number("next_in", {"lane": lane, "after": None})})


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
            "length": pause.length,
            "asked_until": pause.asked_until,
        }
        db.run("pause", parameters)
        reckon(db, lane)
        db.woken.add(lane)

    return write


def resume(*, lane: int, transport: str | None, at: Millis) -> Job[None]:
    """End a pause; the lane wakes."""

    def write(db: Database) -> None:
        db.run("resume", {"lane": lane, "transport": transport or WHOLE_LANE, "at": at})
        reckon(db, lane)
        db.woken.add(lane)

    return write


def tell(*, account: str, paused: bool, at: Millis, by: str) -> Job[bool]:
    """A person pauses or resumes a lane; False where there is none to resume."""

    def write(db: Database) -> bool:
        if not paused and db.number("lane_of", {"account": account}) is None:
            return False
        (lane,) = db.lanes_of({account})
        db.run("tell_lane", {"lane": lane, "paused": int(paused), "at": at, "by": by})
        reckon(db, lane)
        action = "lane.pause" if paused else "lane.resume"
        db.run("audit", {"at": at, "by": by, "action": action, "target": account, "data": "{}"})
        db.woken.add(lane)
        return True

    return write


def spoken(*, since: Millis) -> Job[Mapping[int, Told]]:
    """What people said about lanes since then."""

    def read(db: Database) -> Mapping[int, Told]:
        found = cast("Sequence[tuple[int, int, int, str]]", db.rows("spoken", {"since": since}))
        return {lane: rows.told((at, paused, by)) for lane, at, paused, by in found}

    return read


def move(move: Move) -> Job[Moved]:
    """Put queued rows into another account's lane, as many as may wait there, unless it is paused for them."""

    def write(db: Database) -> Moved:
        (target,) = db.lanes_of({move.account})
        most = move.most or len(move.keys)
        room = {"account": move.account, "transport": move.transport, "most": most}
        _, until, waiting = cast("tuple[int, int, int]", db.row("move_target", room))
        if until > move.at:
            return Moved((), until)
        keys = move.keys[: most - waiting] if move.most else move.keys
        asked = {"keys": to_json(keys), "lane": move.lane, "fence": move.fence, "target": target}
        moved = tuple(cast("int", row[0]) for row in db.rows("move", asked))
        if moved:
            wake(db, moved)
        return Moved(moved)

    return write


def defer(*, key: int, lane: int, due_at: Millis, at: Millis, cause: str) -> Job[None]:
    """Move a queued row's due time."""

    def write(db: Database) -> None:
        db.run("defer", {"message": key, "due_at": due_at, "at": at, "cause": cause})
        reckon(db, lane)
        db.woken.add(lane)

    return write
