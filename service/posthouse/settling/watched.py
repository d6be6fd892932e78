"""Since when the times that were written down can be measured by this process's clock (PROMISES §5)."""

from typing import Final

from posthouse.continuity import Anchor
from posthouse.message import Millis
from posthouse.ports import Clock, Spool

EVERY: Final = 5.0
"""Seconds between looks whether another process has another time."""


class Watched:
    """The beginning of the chain of processes whose times agree with this one's; its own start where nothing proves more."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._since: Millis = clock.now()
        self._before: Anchor | None = None
        self._seen_at = clock.monotonic()

    async def begin(self) -> None:
        """Before this process writes a time down; raises SpoolUnavailableError."""
        await self._learn()

    async def since(self) -> Millis:
        """The time from which on no clock was set; raises SpoolUnavailableError."""
        if self._before is not None and self._clock.monotonic() - self._seen_at >= EVERY:
            await self._learn()
        return self._since

    async def _learn(self) -> None:
        anchor = self._clock.anchor()
        if anchor is None:
            return
        chain = await self._spool.anchor(anchor, before=self._before, now=self._clock.now())
        self._since = chain.begun(anchor)
        self._before, self._seen_at = anchor, self._clock.monotonic()
