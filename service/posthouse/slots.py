"""A slot of a lane for a look into its mailbox: waited for, because a busy lane has none free at the moment of asking."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from posthouse.lanes import Lane
from posthouse.message import Millis

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
