"""Hears which mail did not arrive after Exchange had taken it, from the reports in the mailboxes that sent it (FACTS E).

A message stays ``sent``: what is told of it is an event more. Only mailboxes are read that sent something lately, for
Exchange gives up after 24 hours; whoever holds the lane of one reads it, and one alone where nobody does.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from posthouse.board import Board
from posthouse.fixes import TENANT_CODES, Kind
from posthouse.lanes import Lane
from posthouse.message import Millis
from posthouse.meter import UNHEARD, Meter
from posthouse.outcome import Answer
from posthouse.ports import Clock, Diagnosis, Letterbox, Spool, SpoolUnavailableError
from posthouse.records import Bounced, Inbox, InboxAsk, NoSight, Pause, Post
from posthouse.slots import rest, take_slot
from posthouse.telemetry import MESSAGE_BOUNCED, REPORTS_UNREAD, TENANT_LIMITED, Addresses, log

EVERY: Final = 60.0
"""Seconds between two looks into a mailbox: reports come after minutes."""
LOOK: Final = 5.0
"""Seconds between looks for mailboxes whose time has come."""
SENT_WITHIN: Final[Millis] = 3 * 86_400_000
"""A mailbox that sent nothing for so long gets no more reports: Exchange gives up after 24 hours (FACTS E)."""
AGAIN: Final[Millis] = 3_600_000
"""When a mailbox is read again that the app may not read."""
SOON: Final[Millis] = 60_000
"""When one is read again that gave no answer, or asked to wait and did not say how long."""
SHORTEST: Final[Millis] = 1_000
"""What is asked for as no time at all."""
AT_ONCE: Final = 8
"""Mailboxes that are read side by side, with one request each."""
PAGES: Final = 20
"""Pages of a mailbox that are read before it is another's turn."""
SECONDS: Final = 60.0
"""A mailbox that hangs must not keep the others waiting."""
SLOT_SECONDS: Final = 20.0

_TOO_MANY: Final = 429
_DENIED: Final = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What reading works with; ``letterboxes`` by the transport that sent, ``every`` seconds, ``concurrent`` requests of a lane.

    A look waits at most ``slot_seconds`` for a slot of a busy lane.
    """

    spool: Spool
    letterboxes: Mapping[str, Letterbox]
    board: Board
    clock: Clock
    diagnosis: Diagnosis
    concurrent: int
    every: float = EVERY
    slot_seconds: float = SLOT_SECONDS
    meter: Meter = UNHEARD


class Bounces:
    """Reads until cancelled."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._boxes = {box.name: box for box in tools.letterboxes.values()}
        self._readers = {sent_by: box.name for sent_by, box in tools.letterboxes.items()}

    async def run(self) -> None:
        """Look, read, rest, again."""
        while True:
            await self.once()
            await asyncio.sleep(min(LOOK, self._tools.every))

    async def once(self) -> None:
        """One round; what the spool cannot write now is read again, which does no harm."""
        now = self._tools.clock.now()
        ask = InboxAsk(
            now=now,
            since=now - SENT_WITHIN,
            until=now + int(2 * SECONDS * 1000),
            readers=self._readers,
            most=AT_ONCE,
        )
        try:
            found = await self._tools.spool.inboxes(ask)
        except SpoolUnavailableError:
            return
        await asyncio.gather(*(self._read(inbox) for inbox in found))

    async def _read(self, inbox: Inbox) -> None:
        """All that waits in a mailbox, written down page by page."""
        try:
            for _ in range(PAGES):
                post = await self._page(inbox)
                if post is None or not post.more:
                    return
                inbox = replace(inbox, cursor=post.cursor)
        except SpoolUnavailableError:
            return  # the page is read again

    async def _page(self, inbox: Inbox) -> Post | None:
        """One page, in a slot of the account's lane; where none falls free it waits for another round."""
        tools, lane = self._tools, self._tools.board.lane(inbox.account)
        now = tools.clock.now()
        rests = lane.looks_at(now, inbox.transport)
        if rests > now:
            await self._wait(inbox, rests)
            return None
        try:
            async with asyncio.timeout(tools.slot_seconds):
                await take_slot(lane, concurrent=tools.concurrent, now=tools.clock.now)
        except TimeoutError:
            await self._wait(inbox, tools.clock.now())
            return None
        try:
            post = await self._asked(inbox)
        finally:
            lane.end_look()
        if isinstance(post, NoSight):
            await self._put_off(inbox, lane, post.answer)
            return None
        now = tools.clock.now()
        next_at = now + int((2 * SECONDS if post.more else tools.every) * 1000)
        new = await tools.spool.save_bounces(inbox, found=post.bounces, cursor=post.cursor, now=now, next_at=next_at)
        self._tell(inbox, new)
        return post

    async def _asked(self, inbox: Inbox) -> Post | NoSight:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._boxes[inbox.transport].read(inbox)
        except TimeoutError:
            return NoSight(Answer(status="4.4.7", text="reading took too long", code="no_answer", fix="no_answer"))

    async def _put_off(self, inbox: Inbox, lane: Lane, answer: Answer) -> None:
        """Obey Retry-After, the sends too where Graph slows the whole mailbox down; a missing right can wait for long."""
        now = self._tools.clock.now()
        length = SOON if answer.retry_after is None else max(int(answer.retry_after * 1000), SHORTEST)
        if answer.reply == _TOO_MANY:
            pause = Pause(None, now + length, "graph.throttled", blocked=False, since=now, length=length)
            await rest(lane, pause, spool=self._tools.spool, key=inbox.lane)
        elif answer.reply in _DENIED:
            length = AGAIN
            told = {"mailbox": inbox.account, "transport": inbox.transport, "code": answer.code, "fix": answer.fix}
            log(REPORTS_UNREAD, level=logging.WARNING, **told)
        await self._wait(inbox, now + length)

    async def _wait(self, inbox: Inbox, until: Millis) -> None:
        now = self._tools.clock.now()
        await self._tools.spool.save_bounces(inbox, found=(), cursor=inbox.cursor, now=now, next_at=until)

    def _tell(self, inbox: Inbox, new: Sequence[Bounced]) -> None:
        for one in new:
            fix = self._tools.diagnosis.fix(one.fix)
            self._tools.meter.bounced(Kind.MESSAGE.value if fix is None else fix.kind.value)
            log(
                MESSAGE_BOUNCED,
                message=one.id,
                transport=inbox.transport,
                recipients=Addresses((one.recipient,)),
                code=one.code,
                fix=one.fix,
            )
        limited = next((one.code for one in new if one.code in TENANT_CODES), None)
        if limited is not None:
            log(TENANT_LIMITED, level=logging.WARNING, mailbox=inbox.account, code=limited)
