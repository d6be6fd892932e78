"""Lanes: leases with fences, taken over from the dead, and given back without losing what was just added (SPOOL §6)."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import Lease, Move, Moved, Past, Pause, Told
from posthouse.spool import loads, rows
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.standing import audit
from posthouse.spool.postgres.waking import CHANNEL


async def lease(session: Session, *, worker: int, now: Millis, most: int, running: Collection[int]) -> Sequence[Lease]:
    """Take lanes that have something due; each new lease has a higher fence."""
    found = await session.rows("lease", worker=worker, now=now, most=most, running=sorted(running))
    taken = [cast("rows.LeaseTuple", tuple(row)) for row in found]
    if not taken:
        return ()
    pauses: defaultdict[int, list[Pause]] = defaultdict(list)
    for lane, *pause in await session.rows("lease_pauses", lanes=[one[0] for one in taken]):
        pauses[cast("int", lane)].append(rows.pause(pause))
    return [rows.lease(one, pauses=pauses[one[0]]) for one in taken]


async def past(session: Session, *, lanes: Sequence[int], now: Millis, worker: int) -> Mapping[int, Past]:
    """What the accounts of these lanes used up lately, and what others left under way."""
    row = await session.row("past", lanes=list(lanes), worker=worker, **loads.past_since(now))
    return rows.pasts(cast("rows.PastTuples", _documents(row, 3)), lanes=lanes)


def _documents(row: Sequence[object] | None, count: int) -> tuple[list[object], ...]:
    """JSON arrays that aggregates made: no row of theirs is None."""
    return tuple(json.loads(str(part)) if part else [] for part in (row or (None,) * count))


async def recipient_hours(session: Session, *, since: Millis) -> Sequence[tuple[int, int]]:
    """The recipients of all accounts together, by hours."""
    found = await session.rows("recipient_hours", hour=since // loads.HOUR)
    return [cast("tuple[int, int]", tuple(row)) for row in found]


async def release(session: Session, *, lane: int, fence: int, worker: int) -> None:
    """Give a lane back, if the lease is still this one, and reckon when it has something to do."""
    async with session.transaction():
        if await session.row("lock_lane", lane=lane, fence=fence, worker=worker) is not None:
            await session.run("release", lane=lane)
            await session.run("reckon_lane", lane=lane)


async def pause(session: Session, *, lane: int, pause: Pause) -> None:
    """Write a pause down; the lane sleeps until its end."""
    async with session.transaction():
        await session.run("lock_any_lane", lane=lane)
        await session.run(
            "pause",
            lane=lane,
            transport=pause.transport or rows.WHOLE_LANE,
            until=pause.until,
            reason=pause.reason,
            blocked=pause.blocked,
            since=pause.since,
            length=pause.length,
            asked_until=pause.asked_until,
        )
        await session.run("reckon_lane", lane=lane)


async def resume(session: Session, *, lane: int, transport: str | None, at: Millis) -> None:
    """End a pause; the lane wakes, wherever it is held."""
    async with session.transaction():
        await session.run("lock_any_lane", lane=lane)
        await session.run("resume", lane=lane, transport=transport or rows.WHOLE_LANE, at=at)
        await session.run("reckon_lane", lane=lane)
        await session.run("notify_lane", lane=lane, channel=CHANNEL)


async def tell(session: Session, *, lane: int, account: str, paused: bool, at: Millis, by: str) -> None:
    """A person pauses or resumes a lane; its owner hears of it."""
    async with session.transaction():
        await session.run("lock_any_lane", lane=lane)
        await session.run("tell_lane", lane=lane, paused=paused, at=at, by=by)
        await session.run("reckon_lane", lane=lane)
        await audit(session, at, by=by, action="lane.pause" if paused else "lane.resume", target=account, data={})
        await session.run("notify_lane", lane=lane, channel=CHANNEL)


async def spoken(session: Session, *, since: Millis) -> Mapping[int, Told]:
    """What people said about lanes since then."""
    found = cast("Sequence[tuple[int, int, int, str]]", await session.rows("spoken", since=since))
    return {lane: rows.told((at, paused, by)) for lane, at, paused, by in found}


async def move(session: Session, move: Move, *, target: int, worker: int) -> Moved:
    """Put queued rows into another account's lane, as many as may wait there, unless it is paused for them."""
    async with session.transaction():
        if await session.row("lock_lane", lane=move.lane, fence=move.fence, worker=worker) is None:
            return Moved(())
        most = move.most or len(move.keys)
        row = await session.row("move_target", account=move.account, transport=move.transport, most=most)
        _, until, waiting = cast("tuple[int, int, int]", tuple(row or (0, 0, 0)))
        if until > move.at:
            return Moved((), until)
        keys = move.keys[: max(most - waiting, 0)] if move.most else move.keys
        found = await session.rows("move", keys=list(keys), lane=move.lane, target=target)
        return Moved(tuple(cast("int", row[0]) for row in found))


async def defer(session: Session, *, key: int, lane: int, due_at: Millis, at: Millis, cause: str) -> None:
    """Move a queued row's due time."""
    async with session.transaction():
        await session.run("lock_any_lane", lane=lane)
        await session.run("defer", message=key, due_at=due_at, at=at, cause=cause)
        await session.run("reckon_lane", lane=lane)
        await session.run("notify_lane", lane=lane, channel=CHANNEL)


async def holds(session: Session, *, lane: int, fence: int, worker: int) -> bool:
    """Whether the lease is still this one."""
    return await session.row("holds_lane", lane=lane, fence=fence, worker=worker) is not None
