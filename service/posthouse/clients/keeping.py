"""What is told to the spool a little later and together: who was refused, and how fast clients submit."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from posthouse.identities import MOST_REFUSALS, Refusal
from posthouse.meter import UNHEARD, Meter
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.rates import DAY_MINUTES, MINUTE, Rates

EVERY: Final = 2.0
"""Seconds in which refusals are gathered, and after which other processes know what this one took."""

_GROUPS: Final = 1_000
"""Groups that are gathered at most between two writes: whoever makes up senders shall not fill the memory."""

_Group = tuple[str, str, str, str, str, str]


class Keeper:
    """Gathers while something comes; nothing runs while nothing does."""

    def __init__(self, *, spool: Spool, clock: Clock, owner: str, rates: Rates, meter: Meter = UNHEARD) -> None:
        self._spool = spool
        self._clock = clock
        self._owner = owner
        self._rates = rates
        self._meter = meter
        self._groups: dict[_Group, Refusal] = {}
        self._counting = False
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def refused(self, one: Refusal) -> None:
        """Add one refusal to its group, and count it."""
        self._meter.refused(one.door, one.code)
        self._add((one.door, one.source, one.login, one.client, one.sender, one.code), one)
        self._wake()

    def turned_away(self, source: str, reason: str, *, door: str, code: str) -> None:
        """Add somebody of whom nothing is known but where he comes from."""
        at = self._clock.now()
        self.refused(Refusal(door=door, source=source, code=code, detail=reason, first_at=at, last_at=at))

    def took(self) -> None:
        """A client with a rate submitted something."""
        self._counting = True
        self._wake()

    async def learn(self) -> None:
        """What this process took before it was started anew, and what others take."""
        self._rates.learn(await self._spool.share_use((), owner=self._owner, since=self._since()))

    async def refusals(self) -> Sequence[Refusal]:
        """All groups that are kept, the latest first, with what was not written yet."""
        await self.flush()
        return await self._spool.refusals(most=MOST_REFUSALS)

    async def flush(self) -> None:
        """Write what was gathered; it is kept where the spool cannot be used now."""
        async with self._writing:  # who comes while it is written waits until it is
            await self._flush()

    async def _flush(self) -> None:
        groups, self._groups = self._groups, {}
        try:
            if groups:
                await self._spool.save_refusals(tuple(groups.values()))
        except SpoolUnavailableError:
            for group, one in groups.items():
                self._add(group, one)
            raise
        if self._counting:
            await self._share()

    async def _share(self) -> None:
        """Tell what this process took, and learn what others did."""
        self._counting = False
        uses = self._rates.news()
        try:
            others = await self._spool.share_use(uses, owner=self._owner, since=self._since())
        except SpoolUnavailableError:
            self._counting = True
            raise
        self._rates.told(uses)
        self._rates.learn(others)

    def _since(self) -> int:
        return self._clock.now() // MINUTE - DAY_MINUTES

    async def close(self) -> None:
        """Write the last of it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self.flush()
        except SpoolUnavailableError:
            return

    def _add(self, group: _Group, one: Refusal) -> None:
        known = self._groups.get(group)
        if known is not None:
            first, last = min(known.first_at, one.first_at), max(known.last_at, one.last_at)
            self._groups[group] = replace(one, first_at=first, last_at=last, times=known.times + one.times)
        elif len(self._groups) < _GROUPS:
            self._groups[group] = one

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later())

    async def _later(self) -> None:
        while self._groups or self._counting:
            await asyncio.sleep(EVERY)
            try:
                await self.flush()
            except SpoolUnavailableError:
                continue
