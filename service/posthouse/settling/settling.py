"""Finds out what became of unconfirmed messages: looks them up, lets ``proof`` judge, writes the verdict down.

Looks run when their time comes (``settle_checks``), under the lane's lease, several ids in one question, in a slot of the
lane. Each lane looks by itself, so that a mailbox whose look-up hangs keeps no other waiting.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from posthouse.board import Board
from posthouse.delivery import Policy
from posthouse.message import Message, MessageId, Millis, Status
from posthouse.meter import UNHEARD, Meter
from posthouse.ports import Clock, Evidence, Spool, SpoolUnavailableError
from posthouse.proof import (
    DAY,
    Conclusion,
    conclude,
    conclude_draft,
    copies_of,
    found_again,
    needs_stranger,
    next_check,
    presence,
    unanswered,
)
from posthouse.records import (
    NoSight,
    Presence,
    Settlement,
    Sightings,
    TransportKind,
    Unsettled,
    Verdict,
    Witness,
)
from posthouse.settling.looking import DENIED, IDS_IN_ONE_LOOK, Eyes, LookUps, Place
from posthouse.settling.presence import Proofs
from posthouse.settling.watched import Watched
from posthouse.telemetry import MESSAGE_HELD, MESSAGE_SETTLED, SERVICE_FAULT, log
from posthouse.watch import Watch

ROUND: Final = 200
LONGEST_WAIT: Final = 30.0
LOOKS_AT_ONCE: Final = 8
FAULT_PAUSE: Final = 1.0
"""Seconds that a lane rests whose look could not be judged or written down."""
WATCHED: Final = 180.0
"""Seconds, or the whole of ``settle_checks``, that must have passed before absence counts since the clock was set, or may
have been (``watched``): what was written down before says nothing about how long ago that was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What settling works with; ``evidence`` by transport, empty where no Graph transport can look anything up.

    ``kinds`` are those of all transports of the settings.
    """

    spool: Spool
    evidence: Mapping[str, Evidence]
    board: Board
    policy: Policy
    clock: Clock
    watch: Watch
    concurrent: int
    chance: Callable[[int], bytes]
    kinds: Mapping[str, TransportKind]
    look_seconds: float = 20.0
    meter: Meter = UNHEARD


Group = tuple[str, tuple[TransportKind, ...], bool]
"""Account, kinds of transport by which it may have gone, origin of the Message-ID: what witnesses must have in common."""
Testimony = Mapping[TransportKind, Sequence[Witness]]
"""Witnesses by the kind of transport for which they testify."""


class Settling:
    """Looks up what is due in the lanes that this process holds, until stopped."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        eyes = Eyes(
            spool=tools.spool,
            evidence=tools.evidence,
            board=tools.board,
            clock=tools.clock,
            concurrent=tools.concurrent,
            seconds=tools.look_seconds,
        )
        self._look_ups = LookUps(eyes)
        self._proofs = Proofs(eyes, self._look_ups, chance=tools.chance)
        self._news = asyncio.Event()
        self._stopping = False
        self._at_once = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._watched = Watched(tools.spool, tools.clock)
        tools.board.watch(self._news.set)

    def wake(self, _lanes: frozenset[int]) -> None:
        """Something may have become unsettled."""
        self._news.set()

    def sent(self, message: Message, *, account: str, kind: TransportKind) -> None:
        """A message left ordinarily: it can testify for others."""
        self._proofs.sent(message, account=account, kind=kind)

    async def stop(self) -> None:
        """Begin no more look; those under way are broken off, a question is no harm."""
        self._stopping = True
        self._news.set()
        looks = tuple(self._busy.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        await self._proofs.close()

    async def begin(self) -> None:
        """Before this process writes a time down; raises SpoolUnavailableError."""
        await self._watched.begin()

    async def run(self) -> None:
        """Look when looks are due."""
        await self._proofs.load()
        while not self._stopping:
            self._news.clear()
            try:
                pause = await self._round()
            except SpoolUnavailableError:
                pause = FAULT_PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _round(self) -> float:
        """Start the looks that are due; the seconds until the next."""
        spool, now = self._tools.spool, self._tools.clock.now()
        free = self._tools.board.leased - self._busy.keys()
        if not free or self._stopping:
            return LONGEST_WAIT
        due: defaultdict[int, list[Unsettled]] = defaultdict(list)
        last = self._tools.policy.settle_checks[-1]
        earliest = await self._watched.since() + int((min(last, WATCHED) - last) * 1000)
        for item in await spool.unsettled(now=now, most=ROUND, lanes=free):
            due[item.lane].append(replace(item, since=max(item.since, earliest)))
        asks: defaultdict[int, list[Presence]] = defaultdict(list)
        for lane, ask in await spool.asks(now=now, most=ROUND, lanes=free):
            asks[lane].append(ask)
        for lane in due.keys() | asks.keys():
            task = asyncio.create_task(self._serve(lane, due[lane], asks[lane]), name=f"looks of lane {lane}")
            self._busy[lane] = task
        at = await spool.next_look(lanes=self._tools.board.leased - self._busy.keys())
        if at is None:
            return LONGEST_WAIT
        return min(max((at - self._tools.clock.now()) / 1000, 0.0), LONGEST_WAIT)

    async def _serve(self, lane: int, items: Sequence[Unsettled], asks: Sequence[Presence]) -> None:
        """All looks of one lane that are due now, one after another."""
        try:
            groups: defaultdict[Group, list[Unsettled]] = defaultdict(list)
            for item in sorted(items, key=lambda item: item.started_at):
                groups[item.account, self._kinds(item), item.message.own_message_id].append(item)
            for group in groups.values():
                async with self._at_once:
                    await self._look(lane, group)
            for ask in asks:
                async with self._at_once:
                    await self._proofs.look(lane, ask)
        except Exception as fault:  # noqa: BLE001 - one lane's fault must not stop the others; it looks again
            level = logging.WARNING if isinstance(fault, SpoolUnavailableError) else logging.ERROR
            log(SERVICE_FAULT, level=level, lane=lane, error=type(fault).__name__, detail=str(fault)[:200])
            await asyncio.sleep(FAULT_PAUSE)
        finally:
            del self._busy[lane]
            self._news.set()

    async def _look(self, lane: int, items: Sequence[Unsettled]) -> None:
        """Questions for items of one group; without an answer that counts the rest of them is not asked about."""
        first = items[0]
        place = Place(first.account, first.transport, lane)
        testimony = {kind: await self._witnesses(items, kind) for kind in self._kinds(first)}
        witnesses = list({one.id: one for some in testimony.values() for one in some}.values())
        slowest = await self._tools.spool.slowest(after=self._tools.clock.now() - DAY)
        size = max(IDS_IN_ONE_LOOK - len(witnesses), 1)
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            ids = dict.fromkeys([*(item.message.message_id for item in batch), *(one.message_id for one in witnesses)])
            seen = await self._look_ups.ask(place, tuple(ids))
            if isinstance(seen, NoSight):
                await self._unseen(items[start:], seen)
                return
            await self._seen(batch, seen, testimony, slowest=slowest)

    async def _seen(
        self, items: Sequence[Unsettled], seen: Sightings, testimony: Testimony, *, slowest: Millis
    ) -> None:
        """An answer that counts: judge each item, and learn what it proves about the mailbox."""
        first = items[0]
        own = first.message.own_message_id
        selves = [
            Witness(item.message.id, item.account, item.message.message_id, item.started_at, item.transport)
            for item in items
            # else the copy may be another attempt's, or another kind's
            if own and item.number == 1 and not item.any_way
        ]
        found = set(found_again([*selves, *(one for some in testimony.values() for one in some)], seen, own=own))
        heard: dict[TransportKind, Sequence[Witness]] = {}
        for kind, witnesses in testimony.items():
            strangers = await self._strangers(items, seen, witnesses, kind)
            found |= strangers.keys()
            heard[kind] = [*witnesses, *strangers.values()]
        for item in items:
            await self._judge(item, seen, heard, found, slowest=slowest)
        for kind, witnesses in testimony.items():
            await self._proofs.answered(
                first.account,
                kind,
                own=own,
                witnesses=[*witnesses, *(one for one in selves if one.id in found)],
                found=found,
            )

    def _kinds(self, item: Unsettled) -> tuple[TransportKind, ...]:
        """The kinds of transport by which it may have gone: absence must be proved for each (PROMISES §5)."""
        kinds = self._tools.kinds
        route = [kinds[name] for name in item.message.route if item.any_way and name in kinds]
        return tuple(sorted({item.kind, *route}))

    async def _witnesses(self, items: Sequence[Unsettled], kind: TransportKind) -> Sequence[Witness]:
        """Of the account itself: the one that was found last, the latest sent, and some from before the oldest doubt."""
        first, now = items[0], self._tools.clock.now()
        account, own = first.account, first.message.own_message_id
        # another message may carry a client's Message-ID since
        kept = (await self._proofs.of(account, kind, own=own)).witness if own else None
        found = list(await self._proofs.witnesses(account, kind, own=own, before=now))
        if not any(one.sent_at < first.started_at for one in found):
            found += await self._proofs.witnesses(account, kind, own=own, before=first.started_at)
        return list({one.id: one for one in ([kept] if kept is not None else []) + found}.values())

    async def _strangers(
        self, items: Sequence[Unsettled], seen: Sightings, witnesses: Sequence[Witness], kind: TransportKind
    ) -> Mapping[MessageId, Witness]:
        """Witnesses of other accounts of the same tenant that were found just now, where an item needs one."""
        now, first = self._tools.clock.now(), items[0]
        checks = self._tools.policy.settle_checks
        wanting = [
            item
            for item in items
            if item.message.message_id not in seen.sent
            and next_check(item, now, checks) is None
            and needs_stranger(item, witnesses, now=now)
        ]
        if not wanting:
            return {}
        asked: defaultdict[tuple[str, str], list[Witness]] = defaultdict(list)
        for one in await self._proofs.witnesses(None, kind, own=first.message.own_message_id, before=now):
            if one.account != first.account and self._look_ups.by(one.transport) is self._look_ups.by(first.transport):
                asked[one.account, one.transport].append(one)
        found: dict[MessageId, Witness] = {}
        for (account, transport), theirs in asked.items():
            sight = await self._look_ups.ask(Place(account, transport), [one.message_id for one in theirs])
            if isinstance(sight, Sightings):
                again = found_again(theirs, sight, own=first.message.own_message_id)
                found |= {one.id: one for one in theirs if one.id in again}
        return found

    async def _judge(
        self, item: Unsettled, seen: Sightings, testimony: Testimony, found: set[MessageId], *, slowest: Millis
    ) -> None:
        now = self._tools.clock.now()
        copies, checks = copies_of(item, seen), self._tools.policy.settle_checks
        conclusion = conclude_draft(item, seen, now=now, slowest=slowest, checks=checks) or conclude(
            item,
            now=now,
            copies=copies,
            sharing=await self._tools.spool.sharing(account=item.account, message_id=item.message.message_id),
            presence_proved=all(presence(item, one, found=found, now=now) for one in testimony.values()),
            slowest=slowest,
            checks=checks,
        )
        await self._write(item, conclusion, {"copies": len(copies)}, absent=not copies)

    async def _unseen(self, items: Sequence[Unsettled], seen: NoSight) -> None:
        now, answer = self._tools.clock.now(), seen.answer
        denied = answer.reply in DENIED
        for item in items:
            conclusion = unanswered(
                item,
                now=now,
                denied=denied,
                checks=self._tools.policy.settle_checks,
                not_before=now + int((answer.retry_after or 0) * 1000),
            )
            await self._write(item, conclusion, {"look_up": answer.code})
        if denied:
            first = items[0]
            known = await self._proofs.of(first.account, first.kind, own=first.message.own_message_id)
            await self._proofs.denied(known, seen)

    async def _write(
        self, item: Unsettled, conclusion: Conclusion, data: Mapping[str, object], *, absent: bool = False
    ) -> None:
        now, verdict = self._tools.clock.now(), conclusion.verdict
        appeared = verdict is Verdict.SENT and item.last_absent_at is not None
        settlement = Settlement(
            key=item.message.key,
            id=item.message.id,
            lane=item.message.lane,
            number=item.number,
            at=now,
            verdict=verdict,
            looks=item.looks + 1,
            absent_at=now if absent else item.last_absent_at,
            look_at=conclusion.look_at,
            # what a restored copy put in doubt may be scheduled for later
            due_at=max(now, item.message.due_at) if verdict is Verdict.NOT_SENT else None,
            gives_up_at=now + int(self._tools.policy.expire_after * 1000) if verdict is Verdict.NOT_SENT else None,
            # from its start: what nobody saw end may have been taken long before it was given up
            took=max(now - item.started_at, 0) if appeared else None,
            cause=conclusion.cause,
            draft_stays=conclusion.draft_stays,
            data={**data, "account": item.account, "look": item.looks + 1},
        )
        if not await self._tools.spool.settle(settlement):
            return
        message = item.message
        tell = partial(log, message=message.id, client=message.client, transport=item.transport, attempt=item.number)
        match verdict:
            case Verdict.SENT:
                tell(MESSAGE_SETTLED, verdict=verdict.value)
                self._tools.watch.tell(item.message.id, Status.SENT)
                self._tools.meter.finished(Status.SENT, transport=item.transport)
            case Verdict.NOT_SENT:
                tell(MESSAGE_SETTLED, verdict=verdict.value)
                await self._measure_end(item)
            case Verdict.HELD if item.held is None:
                tell(MESSAGE_HELD, level=logging.WARNING, cause=conclusion.cause)
            case _:
                return

    async def _measure_end(self, item: Unsettled) -> None:
        """What was not sent goes again, unless expiry or a cancel took that right away meanwhile (PROMISES §5)."""
        if item.may_resend and item.message.expires_at is None:
            return
        status = (await self._tools.spool.ended([item.message.id])).get(item.message.id)
        if status is not None:
            self._tools.meter.finished(status)
