"""Takes away the drafts that final messages left in mailboxes: nobody will send them, and somebody might (FACTS A5)."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from posthouse.board import Board
from posthouse.message import Millis
from posthouse.ports import Broom, Clock, Spool, SpoolUnavailableError
from posthouse.records import Stray
from posthouse.telemetry import DRAFTS_LEFT, log

EVERY: Final = 30.0
"""Seconds between looks for messages whose drafts are due: nobody waits for them."""
AGAIN: Final[Millis] = 3_600_000
"""When a mailbox is looked at again that could not be swept."""
ROWS: Final = 20
SECONDS: Final = 60.0
"""A mailbox that hangs must not keep the others waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What sweeping works with; ``after``: seconds for which a lost request may still make its draft, ``concurrent`` requests of a lane."""

    spool: Spool
    brooms: Mapping[str, Broom]
    board: Board
    clock: Clock
    after: float
    concurrent: int


class Strays:
    """Sweeps until cancelled."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self) -> None:
        """Look, sweep, rest, again."""
        while True:
            await self.once()
            await asyncio.sleep(min(EVERY, self._tools.after))

    async def once(self) -> None:
        """One round; what the spool cannot write now is swept again, which does no harm."""
        tools, now = self._tools, self._tools.clock.now()
        try:
            leased = tools.board.leased
            for stray in await tools.spool.strays(now=now, after=tools.after, most=ROWS, lanes=leased):
                await self._sweep(stray)
        except SpoolUnavailableError:
            return

    async def _sweep(self, stray: Stray) -> None:
        """In a slot of the account's lane; where none is free it waits for the next round."""
        tools = self._tools
        lane = tools.board.lane(stray.account)
        lane.want_look()
        if not lane.start_look(tools.concurrent, tools.clock.now()):
            lane.drop_look()
            return
        try:
            clean = await self._clean(stray)
        finally:
            lane.end_look()
        if not clean:
            level = logging.INFO if stray.again else logging.WARNING
            log(DRAFTS_LEFT, level=level, message=stray.id, transport=stray.transport)
        await tools.spool.swept(key=stray.key, again_at=None if clean else tools.clock.now() + AGAIN)

    async def _clean(self, stray: Stray) -> bool:
        broom = self._tools.brooms.get(stray.transport)
        if broom is None:
            return False
        try:
            async with asyncio.timeout(SECONDS):
                return await broom.sweep(stray)
        except TimeoutError:
            return False
