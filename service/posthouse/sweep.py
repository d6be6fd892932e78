"""Makes good, every few seconds, what nobody else would: time's doings, what was missed, what must be deleted (PROMISES §7).

Everything here is a safety net or housekeeping; nothing waits for it in the ordinary way.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from posthouse.message import Millis, Status
from posthouse.meter import UNHEARD, Meter
from posthouse.ports import Clock, Spool
from posthouse.records import LaneRow, Past
from posthouse.telemetry import MESSAGE_EXPIRED, SWEPT, log

EVERY: Final = 5.0
MEND_EVERY: Final = 30.0
"""Seconds between looks for what was missed (PROMISES §7)."""
DEAD_GRACE: Final = 10.0
"""Seconds after its deadline from which an attempt that nobody carries counts as ended (PROMISES §5)."""
ROWS: Final = 100
FREED: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds: how long finished messages and their contents are kept, between probes of what a mistake of the set-up holds."""

    retention: float
    content_retention: float
    blocked_probe: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the sweep works with.

    ``sends``: this process leases lanes. ``live`` names the messages whose attempts are under way here, ``transports``
    those of the settings, ``carrying`` those that take mail whose header names more than its envelope; ``lanes`` and
    ``storage`` are told what was seen; ``keys`` reads again what another process may have made or ended; ``at_once`` are
    the clients whose content goes as soon as it was sent.
    """

    spool: Spool
    clock: Clock
    times: Times
    sends: bool
    live: Callable[[], Collection[int]]
    transports: Collection[str]
    carrying: Collection[str]
    lanes: Callable[[Sequence[LaneRow], Mapping[int, Past], Millis], None]
    storage: Callable[[str | None], None]
    keys: Callable[[], Awaitable[None]]
    at_once: Callable[[], Sequence[str]]
    meter: Meter = UNHEARD


class Sweep:
    """Sweeps until cancelled; each step is small, so that accepting never waits long."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._mended_at: float | None = None

    async def run(self) -> None:
        """Sweep, rest, again."""
        while True:
            await self.once()
            await asyncio.sleep(min(EVERY, self._tools.times.blocked_probe))

    async def once(self) -> None:
        """One round: see whether the disk has room, and, where this process sends, all the rest."""
        tools = self._tools
        tools.storage(await tools.spool.writable())
        now = tools.clock.now()
        rows = await tools.spool.lanes(now=now)
        tools.lanes(rows, await tools.spool.past(lanes=[row.lane for row in rows], now=now), now)
        if tools.spool.look_every is not None:
            await tools.keys()
        if tools.sends:
            await self._keep()

    async def _keep(self) -> None:
        """Take over what the dead left, expire, probe what the set-up holds, mend, purge, wrap keys again."""
        spool, times, now = self._tools.spool, self._tools.times, self._tools.clock.now()
        if spool.look_every is not None:
            await spool.recover(now=now, grace=DEAD_GRACE)
        if expired := await spool.expire(now=now, most=ROWS):
            log(MESSAGE_EXPIRED, level=logging.WARNING, messages=expired)
            self._tools.meter.finished(Status.EXPIRED, messages=expired)
        pause = int(times.blocked_probe * 1000)
        await spool.probe_senders(now=now, next_probe=now + pause)
        await spool.free_drafts(now=now, before=now - pause, most=ROWS)
        monotonic = self._tools.clock.monotonic()
        if self._mended_at is None or monotonic - self._mended_at >= MEND_EVERY:
            self._mended_at = monotonic
            await self.mend()
        kept = {"retention": times.retention, "content_retention": times.content_retention}
        purge = partial(spool.purge, **kept, most=ROWS, at_once=self._tools.at_once())
        while await purge(now=self._tools.clock.now()) >= ROWS:
            continue
        while await spool.reseal(most=ROWS):
            continue

    async def mend(self) -> None:
        """What is ``sending`` without an attempt is unconfirmed, what is held without a cause goes on, sleepers wake."""
        tools, now = self._tools, self._tools.clock.now()
        lost = await tools.spool.recover_lost(now=now, grace=DEAD_GRACE, live=tools.live())
        freed = await tools.spool.free_held(now=now, transports=tools.transports, carrying=tools.carrying, most=FREED)
        woken = await tools.spool.wake_sleepers()
        if lost or freed or woken:
            # a lost attempt or a lane that slept is a fault of ours, though nothing came to harm
            log(SWEPT, level=logging.WARNING if lost or woken else logging.INFO, lost=lost, freed=freed, woken=woken)
