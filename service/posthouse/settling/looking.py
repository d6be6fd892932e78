"""Asks Graph what a mailbox holds: in a slot of the account's lane, as slowly as Graph wants, never for ever (PROMISES §5)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.board import Board
from posthouse.lanes import Lane
from posthouse.message import Millis
from posthouse.outcome import Answer
from posthouse.ports import Clock, Evidence, Spool
from posthouse.records import NoSight, Pause, Sightings
from posthouse.slots import rest, take_slot

IDS_IN_ONE_LOOK: Final = 15
DENIED: Final = frozenset({401, 403, 404})
"""Statuses that an administrator must mend."""
THROTTLED: Final = 10.0
"""Seconds of rest where a 429 names none."""
SHORTEST: Final = 1.0
"""Seconds of rest at least: a Retry-After of 0 is no leave to hammer."""
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Place:
    """Whose mailbox is asked, for what went out by which transport, and its lane where it is leased here."""

    account: str
    transport: str
    lane: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """What look-ups work with: ``evidence`` by transport, ``concurrent`` requests at once of a lane, ``seconds`` for one."""

    spool: Spool
    evidence: Mapping[str, Evidence]
    board: Board
    clock: Clock
    concurrent: int
    seconds: float = 20.0


class LookUps:
    """One question at a time; what Graph asks to wait for holds for the next one and for the lane's sends."""

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes
        self._rests: dict[str, Millis] = {}

    def by(self, transport: str) -> Evidence | None:
        """Who can look for what went out by a transport; for one that the settings no longer have, who there is."""
        evidence = self._eyes.evidence
        return evidence.get(transport) or next(iter(evidence.values()), None)

    async def ask(self, place: Place, message_ids: Sequence[str]) -> Sightings | NoSight:
        """One question about at most 15 ids; its answer where it counts, else why there is none."""
        evidence = self.by(place.transport)
        if evidence is None:
            text = "no Graph transport is configured to look with"
            return NoSight(Answer(status="4.7.0", text=text, code="no_look_up", reply=403))
        lane = self._eyes.board.lane(place.account)
        resting = self._resting(lane, place, evidence.name)
        if resting is not None:
            return resting
        await take_slot(lane, concurrent=self._eyes.concurrent, now=self._eyes.clock.now)
        try:
            resting = self._resting(lane, place, evidence.name)  # asked to wait while it waited for the slot
            seen = resting or await self._look(evidence, place, message_ids)
        finally:
            lane.end_look()
        if isinstance(seen, NoSight) and resting is None:
            await self._rest(lane, place, seen.answer, evidence.name)
        return seen

    def _resting(self, lane: Lane, place: Place, transport: str) -> NoSight | None:
        """Why it may not look now."""
        now = self._eyes.clock.now()
        at = max(lane.looks_at(now, transport), self._rests.get(place.account, 0))
        if at <= now:
            return None
        text, seconds = "Graph asked to wait", (at - now) / 1000
        return NoSight(Answer(status="4.4.5", text=text, code="throttled", reply=_TOO_MANY, retry_after=seconds))

    async def _look(self, evidence: Evidence, place: Place, message_ids: Sequence[str]) -> Sightings | NoSight:
        try:
            async with asyncio.timeout(self._eyes.seconds):
                return await evidence.look_up(account=place.account, message_ids=message_ids)
        except TimeoutError:
            return NoSight(Answer(status="4.4.7", text="the look-up took too long", code="no_answer", fix="no_answer"))

    async def _rest(self, lane: Lane, place: Place, answer: Answer, transport: str) -> None:
        """Obey Retry-After, the sends too: a 429 is about the mailbox, another answer about its way by this transport."""
        if answer.reply != _TOO_MANY and answer.retry_after is None:
            return
        seconds = max(THROTTLED if answer.retry_after is None else answer.retry_after, SHORTEST)
        now, length = self._eyes.clock.now(), int(seconds * 1000)
        self._rests[place.account] = now + length
        whole = answer.reply == _TOO_MANY
        named, reason = (None, "graph.throttled") if whole else (transport, answer.fix or answer.code)
        pause = Pause(named, now + length, reason, blocked=False, since=now, length=length)
        await rest(lane, pause, spool=self._eyes.spool, key=place.lane)
