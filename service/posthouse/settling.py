"""Finds out what became of unconfirmed messages: looks them up, lets ``proof`` judge, writes the verdict down.

Looks run when their time comes (``settle_checks``), several ids in one question, in a slot of the account's lane.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.delivery import Policy
from posthouse.lanes import Board, Lane
from posthouse.message import Millis, Status
from posthouse.outcome import Answer
from posthouse.ports import Clock, Evidence, Spool, SpoolUnavailableError
from posthouse.proof import DAY, Conclusion, conclude, conclude_draft, copies_of, presence, unanswered
from posthouse.records import NoSight, Settlement, Sightings, Unsettled, Verdict, Witness
from posthouse.telemetry import MESSAGE_HELD, MESSAGE_SETTLED, SERVICE_FAULT, log
from posthouse.watch import Watch

IDS_IN_ONE_LOOK: Final = 15
WITNESSES: Final = 3
ITEMS_IN_ONE_LOOK: Final = IDS_IN_ONE_LOOK - WITNESSES
ROUND: Final = 200
LONGEST_WAIT: Final = 30.0
LOOKS_AT_ONCE: Final = 8
LOOK_SECONDS: Final = 20.0
"""A look-up that hangs must not keep the others waiting."""
DENIED: Final = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What settling works with; without ``evidence`` (no Graph transport) nothing can ever be looked up."""

    spool: Spool
    evidence: Evidence | None
    board: Board
    policy: Policy
    clock: Clock
    watch: Watch
    concurrent: int


class Settling:
    """Looks up what is due until cancelled."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._news = asyncio.Event()
        self._stopping = False
        self._slots = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._appearances: deque[tuple[Millis, Millis]] = deque(maxlen=1000)

    def wake(self, _lanes: frozenset[int]) -> None:
        """Something may have become unsettled."""
        self._news.set()

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Look when looks are due."""
        while not self._stopping:
            self._news.clear()
            try:
                pause = await self._round()
            except SpoolUnavailableError:
                pause = 1.0
            try:
                await asyncio.wait_for(self._news.wait(), pause)
            except TimeoutError:
                continue

    async def _round(self) -> float:
        now = self._tools.clock.now()
        items = await self._tools.spool.unsettled(now=now, most=ROUND)
        groups: defaultdict[tuple[str, str, bool], list[Unsettled]] = defaultdict(list)
        for item in items:
            groups[item.account, item.kind, item.message.own_message_id].append(item)
        batches = [
            group[i : i + ITEMS_IN_ONE_LOOK]
            for group in groups.values()
            for i in range(0, len(group), ITEMS_IN_ONE_LOOK)
        ]
        results = await asyncio.gather(*(self._look(batch) for batch in batches), return_exceptions=True)
        for fault in results:
            if isinstance(fault, BaseException):
                log(SERVICE_FAULT, level=logging.ERROR, error=type(fault).__name__, detail=str(fault)[:200])
        if any(isinstance(fault, BaseException) for fault in results):
            return 1.0
        due = await self._tools.spool.next_look()
        if due is None:
            return LONGEST_WAIT
        return min(max((due - self._tools.clock.now()) / 1000, 0.0), LONGEST_WAIT)

    async def _look(self, items: Sequence[Unsettled]) -> None:
        """One question for items of one account, kind of transport and origin of Message-ID."""
        async with self._slots:
            witnesses = await self._witnesses(items[0])
            here = [w.message_id for w in witnesses if w.account == items[0].account]
            asked = [item.message.message_id for item in items] + here
            seen = await self._ask(items[0].account, asked)
            if isinstance(seen, NoSight):
                for item in items:
                    await self._write(item, self._unanswered(item, seen), {"look_up": seen.answer.code})
                return
            found = set(_sent_copies(seen))
            found |= await self._elsewhere(items[0].account, witnesses)
        for item in items:
            await self._judge(item, seen, witnesses, found)

    async def _ask(self, account: str, message_ids: Sequence[str]) -> Sightings | NoSight:
        evidence = self._tools.evidence
        if evidence is None:
            return NoSight(
                Answer(
                    status="4.7.0", text="no Graph transport is configured to look with", code="no_look_up", reply=403
                )
            )
        lane = self._tools.board.lane(account)
        await self._take_slot(lane)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await evidence.look_up(account=account, message_ids=message_ids)
        except TimeoutError:
            return NoSight(Answer(status="4.4.7", text="the look-up took too long", code="no_answer", fix="no_answer"))
        finally:
            lane.end_look()

    async def _take_slot(self, lane: Lane) -> None:
        room = asyncio.Event()
        lane.want_look()
        lane.watch(room.set)
        try:
            while not lane.start_look(self._tools.concurrent):
                room.clear()
                await room.wait()
        except asyncio.CancelledError:
            lane.drop_look()
            raise
        finally:
            lane.unwatch(room.set)

    async def _witnesses(self, item: Unsettled) -> Sequence[Witness]:
        now = self._tools.clock.now()
        own: Sequence[Witness] = ()
        for account in (item.account, None):
            own = own or await self._tools.spool.witnesses(
                account=account,
                kind=item.kind,
                own=item.message.own_message_id,
                before=now,
                after=now - 30 * DAY,
                most=WITNESSES,
            )
        return own

    async def _elsewhere(self, account: str, witnesses: Sequence[Witness]) -> set[str]:
        """The Message-IDs of other accounts' witnesses that were found there."""
        others: defaultdict[str, list[str]] = defaultdict(list)
        for witness in witnesses:
            if witness.account != account:
                others[witness.account].append(witness.message_id)
        found: set[str] = set()
        for other, message_ids in others.items():
            seen = await self._ask(other, message_ids)
            if isinstance(seen, Sightings):
                found |= set(_sent_copies(seen))
        return found

    async def _judge(self, item: Unsettled, seen: Sightings, witnesses: Sequence[Witness], found: set[str]) -> None:
        now = self._tools.clock.now()
        copies, slowest = copies_of(item, seen), self._slowest(now)
        checks = self._tools.policy.settle_checks
        conclusion = conclude_draft(item, seen, now=now, slowest=slowest, checks=checks) or conclude(
            item,
            now=now,
            copies=copies,
            sharing=await self._tools.spool.sharing(account=item.account, message_id=item.message.message_id),
            presence_proved=presence(item, witnesses, found=found, now=now),
            slowest=slowest,
            checks=checks,
        )
        if conclusion.verdict is Verdict.SENT and item.last_absent_at is not None:
            self._appearances.append((now, now - item.since))
        await self._write(item, conclusion, {"copies": len(copies)}, absent=not copies)

    def _unanswered(self, item: Unsettled, seen: NoSight) -> Conclusion:
        denied = seen.answer.reply in DENIED
        return unanswered(item, now=self._tools.clock.now(), denied=denied, checks=self._tools.policy.settle_checks)

    def _slowest(self, now: Millis) -> Millis:
        """The slowest appearance of the last day: measured only between an absent look and a present one."""
        return max((took for at, took in self._appearances if at > now - DAY), default=0)

    async def _write(
        self, item: Unsettled, conclusion: Conclusion, data: Mapping[str, object], *, absent: bool = False
    ) -> None:
        now = self._tools.clock.now()
        settlement = Settlement(
            key=item.message.key,
            id=item.message.id,
            lane=item.message.lane,
            number=item.number,
            at=now,
            verdict=conclusion.verdict,
            looks=item.looks + 1,
            absent_at=now if absent else item.last_absent_at,
            look_at=conclusion.look_at,
            due_at=now if conclusion.verdict is Verdict.NOT_SENT else None,
            cause=conclusion.cause,
            draft_stays=conclusion.draft_stays,
            data={**data, "account": item.account, "look": item.looks + 1},
        )
        if not await self._tools.spool.settle(settlement):
            return
        match conclusion.verdict:
            case Verdict.SENT:
                log(MESSAGE_SETTLED, message=item.message.id, verdict=conclusion.verdict.value)
                self._tools.watch.tell(item.message.id, Status.SENT)
            case Verdict.NOT_SENT:
                log(MESSAGE_SETTLED, message=item.message.id, verdict=conclusion.verdict.value)
            case Verdict.HELD if not item.held:
                log(MESSAGE_HELD, level=logging.WARNING, message=item.message.id, cause=conclusion.cause)
            case _:
                return


def _sent_copies(seen: Sightings) -> list[str]:
    return [message_id for message_id, copies in seen.found.items() if not all(copies)]
