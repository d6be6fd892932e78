"""What time, dead workers and set clocks do to messages, and how it is made good (PROMISES §5 to §7)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.spool import loads
from posthouse.spool.loads import CLOCKS_WANDER, DIED, LOST
from posthouse.spool.postgres import drafts
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import CHANNEL, Waker
from posthouse.spool.rows import LeftTuple, left

_RECOVER: Final = ("messages", "numbers", "statuses", "causes", "sinces", "looks", "events")


async def recover(session: Session, waker: Waker, *, now: Millis, grace: float, worker: int) -> int:
    """Rows that dead workers left in ``sending`` are unconfirmed from their deadline plus ``grace`` seconds; how many.

    One whose draft was not about to be sent yet is queued again at once: it certainly was not sent.
    """
    done = await drafts.requeue_unsent(session, waker, now=now, worker=worker)
    while some := await _recover(session, waker, "left_sending", {"worker": worker}, now=now, grace=grace, how=DIED):
        done += some
    return done


async def recover_lost(
    session: Session, waker: Waker, *, now: Millis, grace: float, live: Collection[int], worker: int
) -> int:
    """Rows of this worker in ``sending`` that nobody carries any more; how many."""
    asked = {"worker": worker, "live": list(live), "before": now - int(grace * 1000)}
    return await _recover(session, waker, "lost_sending", asked, now=now, grace=grace, how=LOST)


async def free_held(
    session: Session,
    waker: Waker,
    *,
    now: Millis,
    transports: Collection[str],
    carrying: Collection[str],
    most: int,
) -> int:
    """Held rows whose cause is gone are queued again; how many."""
    found = await session.rows("free_held", at=now, transports=list(transports), carrying=list(carrying), most=most)
    keys = [cast("int", row[0]) for row in found]
    await waker.messages(session, keys)
    return len(keys)


async def wake_sleepers(session: Session) -> int:
    """Lanes that have something to do and do not know when; how many."""
    return await _reckon(session, await session.rows("sleepers"))


async def turn_back(session: Session, *, now: Millis, worker: int) -> Millis:
    """By how much the clock was set back, after nothing waits for that any more; 0 while other workers live."""
    by = (await session.number("latest", worker=worker) or 0) - now
    if by <= CLOCKS_WANDER:
        return 0
    await _reckon(session, await session.rows("turned_back", now=now, by=by))
    return by


async def _reckon(session: Session, found: Sequence[Sequence[object]]) -> int:
    for row in found:
        lane = cast("int", row[0])
        async with session.transaction():
            await session.run("lock_any_lane", lane=lane)
            await session.run("reckon_lane", lane=lane)
            await session.run("notify_lane", lane=lane, channel=CHANNEL)
    return len(found)


async def _recover(
    session: Session,
    waker: Waker,
    verb: str,
    asked: Mapping[str, object],
    *,
    now: Millis,
    grace: float,
    how: Mapping[str, str],
) -> int:
    async with session.transaction():
        lost = [left(cast("LeftTuple", tuple(row))) for row in await session.rows(verb, **asked)]
        if not lost:
            return 0
        found = loads.recovered(lost, now=now, grace=int(grace * 1000))
        columns = dict(zip(_RECOVER, map(list, zip(*found, strict=True)), strict=True))
        await session.run("recover", now=now, **columns, **how)
    await waker.messages(session, [one.key for one in lost])
    return len(lost)
