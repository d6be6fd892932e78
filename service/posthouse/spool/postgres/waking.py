"""Who must hear that a lane has something to do: this process at once, the others through the database.

Sleeping lanes are woken in a statement of their own after the commit that filled them; should the process die between
the two, the sweep finds the lane (SPOOL §6.2).
"""

import contextlib
from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.ports import SpoolUnavailableError, Wake
from posthouse.spool.postgres.database import Session, explained

CHANNEL: Final = "posthouse_lanes"
"""What workers listen to; the payload is the ids of lanes."""


class Waker:
    """Tells of lanes; what cannot be told now is left to the sweep, because its cause is committed already."""

    def __init__(self) -> None:
        self._told: Wake | None = None

    def on_wake(self, wake: Wake) -> None:
        """Tell ``wake`` from now on."""
        self._told = wake

    async def lane_at(self, session: Session, lane: int, at: Millis) -> None:
        """This lane has something to do at a time: wake it where that is earlier than it would."""
        await self.lanes(session, [(lane, at)])
        self.tell(frozenset({lane}))

    def tell(self, lanes: frozenset[int]) -> None:
        """This process: these lanes have something new."""
        if self._told is not None and lanes:
            self._told(lanes)

    async def lanes(self, session: Session, asleep: Sequence[tuple[int, int]]) -> None:
        """These lanes would wake too late: wake them at these times, and tell all workers."""
        if asleep:
            lanes, dues = zip(*asleep, strict=True)
            with contextlib.suppress(SpoolUnavailableError), explained():
                await session.run("wake_lanes", lanes=list(lanes), dues=list(dues), channel=CHANNEL)

    async def messages(self, session: Session, keys: Sequence[int]) -> None:
        """These messages are queued, or looked for: wake their lanes where that is earlier than they would."""
        if not keys:
            return
        with contextlib.suppress(SpoolUnavailableError), explained():
            rows = cast("Sequence[tuple[int, int]]", await session.rows("waking", messages=list(keys)))
            await self.lanes(session, [tuple(row) for row in rows])
            self.tell(frozenset(lane for lane, _ in rows))
