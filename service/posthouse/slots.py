"""What looks into a mailbox owe its lane: a slot, waited for because a busy lane has none free, and the rest that Graph asks for."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from posthouse.lanes import Lane
from posthouse.message import Millis
from posthouse.ports import Spool
from posthouse.records import Pause

ASK_AGAIN: Final = 1.0
"""Seconds after which a slot is asked for again although nothing was heard of the lane."""


async def take_slot(lane: Lane, *, concurrent: int, now: Callable[[], Millis]) -> None:
    """Return once a look holds a slot; who called gives it back by ``end_look``. A cancelled wait holds none."""
    room = asyncio.Event()
    lane.want_look()
    lane.watch(room.set)
    try:
        while not lane.start_look(concurrent, now()):
            room.clear()
            with contextlib.suppress(TimeoutError):  # nobody says when a former owner's request is surely over
                async with asyncio.timeout(ASK_AGAIN):
                    await room.wait()
    except asyncio.CancelledError:
        lane.drop_look()
        raise
    finally:
        lane.unwatch(room.set)


async def rest(lane: Lane, pause: Pause, *, spool: Spool, key: int | None) -> None:
    """Pause the sends too, in memory and, under the lane's ``key`` where it has one, in the spool."""
    before, stands = lane.standing(pause.transport), lane.pause(pause)
    if stands != before and key is not None:
        await spool.pause(lane=key, pause=stands)
        lane.saved(pause.transport)
