"""Lanes: leases with fences, taken over from the dead, and given back without losing what was just added (SPOOL §6)."""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.records import Lease, Pause
from posthouse.spool import rows
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import CHANNEL

PACE_WINDOW: Final[Millis] = 60_000
"""The sliding window over attempt starts (PROMISES §7)."""

_Past = tuple[list[tuple[int, int]], list[tuple[int, *rows.PauseTuple]], list[tuple[int, int]]]


async def lease(session: Session, *, worker: int, now: Millis, most: int, running: Collection[int]) -> Sequence[Lease]:
    """Take lanes that have something due; each new lease has a higher fence."""
    found = await session.rows("lease", worker=worker, now=now, most=most, running=sorted(running))
    taken = cast("Sequence[tuple[int, str, int, int]]", found)
    if not taken:
        return ()
    lanes = [lane for lane, *_ in taken]
    row = await session.row("lease_past", lanes=lanes, since=now - PACE_WINDOW, worker=worker)
    starts, pauses, sending = cast("_Past", tuple(json.loads(str(part)) if part else [] for part in row or ("",) * 3))
    starts_of, pauses_of, sending_of = defaultdict(list), defaultdict(list), defaultdict(list)
    for lane, at in starts:
        starts_of[lane].append(at)
    for lane, *pause in pauses:
        pauses_of[lane].append(rows.pause(pause))
    for lane, deadline in sending:
        sending_of[lane].append(deadline)
    return [
        Lease(
            lane=lane,
            account=account,
            fence=fence,
            starts=tuple(starts_of[lane]),
            pauses=tuple(pauses_of[lane]),
            block_ended_at=block_ended_at,
            sending=tuple(sending_of[lane]),
        )
        for lane, account, fence, block_ended_at in taken
    ]


async def release(session: Session, *, lane: int, fence: int, worker: int, rest_until: Millis | None) -> None:
    """Give a lane back, if the lease is still this one, and reckon when it has something to do."""
    async with session.transaction():
        if await session.row("lock_lane", lane=lane, fence=fence, worker=worker) is not None:
            await session.run("release", lane=lane, rest_until=rest_until)
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
        )
        await session.run("reckon_lane", lane=lane)


async def resume(session: Session, *, lane: int, transport: str | None, at: Millis) -> None:
    """End a pause; the lane wakes, wherever it is held."""
    async with session.transaction():
        await session.run("lock_any_lane", lane=lane)
        await session.run("resume", lane=lane, transport=transport or rows.WHOLE_LANE, at=at)
        await session.run("reckon_lane", lane=lane)
        await session.run("tell_lane", lane=lane, channel=CHANNEL)


async def defer(session: Session, *, key: int, lane: int, due_at: Millis) -> None:
    """Move a queued row's due time."""
    async with session.transaction():
        await session.run("lock_any_lane", lane=lane)
        await session.run("defer", message=key, due_at=due_at)
        await session.run("reckon_lane", lane=lane)
        await session.run("tell_lane", lane=lane, channel=CHANNEL)


async def holds(session: Session, *, lane: int, fence: int, worker: int) -> bool:
    """Whether the lease is still this one."""
    return await session.row("holds_lane", lane=lane, fence=fence, worker=worker) is not None
