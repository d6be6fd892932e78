"""One attempt: ``sending`` durably, then the wire, then what happened, durably (PROMISES §3)."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from posthouse.concurrency import THROTTLING, Ceiling
from posthouse.delivery import REFUSE_DEFERRED_AFTER, Policy, Settle, Situation, Step, back_off, next_step
from posthouse.dispatcher.contents import broken_off, unreadable, watched
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.finishes import finish_of
from posthouse.dispatcher.gates import Gates
from posthouse.lanes import Lane
from posthouse.limits import Started
from posthouse.message import Content, Message, Millis, Status
from posthouse.meter import UNHEARD, Meter
from posthouse.outcome import (
    Answer,
    Outcome,
    RefusedRecipient,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
    name_of,
    scope_of,
)
from posthouse.pace import NEVER
from posthouse.ports import (
    Clock,
    ContentUnreadableError,
    Dispatch,
    NotBegunError,
    Spool,
    SpoolUnavailableError,
    Transport,
)
from posthouse.records import DraftNote, Finish, Mark, TransportKind
from posthouse.telemetry import APP_THROTTLED, LOGGER, MESSAGE_SENDING, SERVICE_FAULT, log
from posthouse.tracer import UNTRACED, Tracer
from posthouse.watch import Watch

LOST = frozenset({Status.FAILED, Status.EXPIRED})
"""What a reader of the log's warnings must see."""
LEASE_MARGIN = 5.0
"""Seconds before the lease's end from which nothing begins on the wire any more (PROMISES §3)."""
SPOOL_PAUSE = 1.0
"""Seconds between tries to write an outcome that the spool could not take."""
LONGEST_PAUSE = 30.0
"""The same where it is a fault of ours, which says the same each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every attempt works with."""

    spool: Spool
    transports: Mapping[str, Transport]
    accounts: Callable[[str, str], str]
    gates: Gates
    effects: Effects
    policy: Policy
    clock: Clock
    chance: Callable[[int], bytes]
    watch: Watch
    sent: Callable[[Message, str, TransportKind], None]
    """Told of every message that left ordinarily, with its account and kind of transport: it can testify for others."""
    meter: Meter = UNHEARD
    tracer: Tracer = UNTRACED


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt takes place: its lane with key, fence and account, and what it took of the limits."""

    key: int
    fence: int
    lane: Lane
    account: str
    started: Started
    ceiling: Ceiling | None

    @property
    def transport(self) -> str:
        """The way out."""
        return self.started.transport


class Attempt:
    """Carries one message through one try; slot and places were taken by who made it, and are given back here.

    ``again``: the row is in the queue again, or may be. ``unmarked``: it was not there to be marked any more, or the
    lease was over.
    """

    def __init__(self, message: Message, place: Place, tools: Tools) -> None:
        self._message = message
        self._place = place
        self._tools = tools
        self._number = message.attempts + 1
        self._send: asyncio.Task[Outcome] | None = None
        self._holding = True
        self._over = False
        self._cut = False
        self._wire_seconds: float | None = None
        self.again = True
        self.unmarked = False
        if place.ceiling is not None:
            place.ceiling.start()

    def cut(self) -> None:
        """End the send now: its connection closes and the message is unconfirmed; one not begun does not begin."""
        self._cut = True
        if self._send is not None:
            self._send.cancel()

    async def run(self) -> None:
        """Mark, send, decide, finish."""
        message, tools, place = self._message, self._tools, self._place
        try:
            mark = self._mark(tools.clock.now())
            marked, content = await asyncio.gather(
                tools.spool.mark(mark), tools.spool.content(message.key), return_exceptions=True
            )
            if isinstance(marked, BaseException):
                await self._take_back(mark, marked)
                return
            if not marked:
                self.unmarked = True
                return
            log(
                MESSAGE_SENDING,
                message=message.id,
                client=message.client,
                transport=place.transport,
                attempt=self._number,
            )
            outcome = await self._outcome(mark, content)
            tools.meter.attempted(place.transport, outcome, seconds=self._wire_seconds)
            self._trace(outcome)
            await self._affect(outcome)
            await self._finish(self._decided(mark, outcome))
            if isinstance(outcome, Sent):
                tools.sent(message, place.account, mark.kind)
        except Exception as fault:  # noqa: BLE001 - of ours; what is ``sending`` without an attempt the sweep makes unconfirmed
            self._fault(fault)
            await asyncio.sleep(SPOOL_PAUSE)
        finally:
            tools.gates.abandoned(place.transport, message)
            self._let_go()

    def _trace(self, outcome: Outcome) -> None:
        message, seconds = self._message, self._wire_seconds or 0.0
        self._tools.tracer.attempted(
            message.id, transport=self._place.transport, number=self._number, outcome=outcome, seconds=seconds
        )

    async def _take_back(self, mark: Mark, fault: BaseException) -> None:
        """Whether ``sending`` was written is not known, but nothing was sent: so it is taken back if it was."""
        if not isinstance(fault, SpoolUnavailableError):
            self._fault(fault)
        await asyncio.sleep(SPOOL_PAUSE)
        self._let_go()  # the minute is not used up by what never left
        self._take_again()
        outcome = _not_begun("the attempt could not be written down", "not_marked", at_once=True)
        await self._finish(self._decided(mark, outcome))

    async def _affect(self, outcome: Outcome) -> None:
        """What the outcome does beyond the message; a fault of ours there must not lose the outcome itself."""
        try:
            place = self._place
            self._tools.gates.observe(place.transport, self._message, outcome)
            self._learn(outcome)
            await self._tools.effects.apply(
                self._message, outcome, transport=place.transport, lane=place.lane, lane_key=place.key
            )
        except Exception as fault:  # noqa: BLE001 - see above
            self._fault(fault)

    def _learn(self, outcome: Outcome) -> None:
        """What it says about the limits: the day of the account, the app's concurrency."""
        lane, started, ceiling = self._place.lane, self._place.started, self._place.ceiling
        if self._send is not None and not isinstance(outcome, Sent | Unconfirmed):
            lane.not_sent(started)
        if ceiling is None:
            return
        if isinstance(outcome, Sent):
            ceiling.succeeded()
        elif outcome.answer.code in THROTTLING and ceiling.throttled(self._tools.clock.now(), self._place.account):
            log(APP_THROTTLED, level=logging.WARNING, app=started.use.app, concurrent=ceiling.limit)

    def _mark(self, now: Millis) -> Mark:
        message, place, tools = self._message, self._place, self._tools
        return Mark(
            key=message.key,
            id=message.id,
            lane=place.key,
            fence=place.fence,
            number=self._number,
            attempt_id=str(uuid.UUID(bytes=tools.chance(16), version=4)),
            transport=place.transport,
            kind=tools.transports[place.transport].kind,
            account=place.account,
            started_at=now,
            deadline_at=now + int(tools.policy.attempt_seconds(message.size) * 1000),
            recipients=place.started.load.recipients,
            wire_bytes=place.started.load.wire_bytes,
        )

    def _fault(self, fault: BaseException) -> None:
        log(SERVICE_FAULT, level=logging.ERROR, message=self._message.id, error=type(fault).__name__)
        LOGGER.debug("where", exc_info=fault)

    async def _outcome(self, mark: Mark, content: Content | BaseException | None) -> Outcome:
        if self._cut:
            return _not_begun("the service was stopping", "stopping", at_once=True)
        place = self._place
        if place.lane.rests_since(place.started.at, self._tools.clock.now(), place.transport):
            return _not_begun("the mailbox was told to rest before the request began", "resting", at_once=True)
        if content is None:
            return unreadable(ContentUnreadableError("the content is gone"))
        if isinstance(content, ContentUnreadableError):
            return unreadable(content)
        if isinstance(content, BaseException):
            return _not_begun("the content could not be read", "no_content", at_once=False)
        if self._tools.spool.lease_left() < LEASE_MARGIN:
            return _not_begun("the lane's lease is about to end", "lease_ended", at_once=False)
        content, body = watched(content)
        dispatch = Dispatch(
            message=self._message,
            content=content,
            attempt_id=mark.attempt_id,
            account=mark.account,
            refuse_deferred=self._refuse_deferred(mark.started_at),
            note_refused=self._note_refused,
            note_draft=self._note_draft,
        )
        began = self._tools.clock.monotonic()
        self._send = asyncio.create_task(self._tools.transports[mark.transport].send(dispatch))
        await asyncio.wait({self._send}, timeout=self._tools.policy.attempt_seconds(self._message.size))
        if not self._send.done():
            self._send.cancel()
            await asyncio.wait({self._send})
        self._wire_seconds = self._tools.clock.monotonic() - began
        return broken_off(self._send, body) or self._result(self._send)

    def _result(self, send: asyncio.Task[Outcome]) -> Outcome:
        if send.cancelled():
            text = "no answer before the attempt's deadline or the end of the service's drain"
            return Unconfirmed(answer=Answer(status="4.4.7", text=text, code="no_answer", fix="no_answer"))
        fault = send.exception()
        if isinstance(fault, NotBegunError):
            if isinstance(fault.__cause__, Exception):
                self._fault(fault.__cause__)
            return _not_begun("the attempt ended before anything of it had left", "not_begun", at_once=self._cut)
        if fault is not None:
            self._fault(fault)
            return _fault_of_ours(fault)
        return send.result()

    async def _note_refused(self, refused: Sequence[RefusedRecipient]) -> None:
        await self._tools.spool.note_refused(key=self._message.key, number=self._number, refused=refused)

    async def _note_draft(self, note: DraftNote) -> bool:
        return await self._tools.spool.note_draft(key=self._message.key, number=self._number, note=note)

    def _refuse_deferred(self, now: Millis) -> bool:
        message, policy = self._message, self._tools.policy
        if message.first_tried_at is not None and now - message.first_tried_at >= REFUSE_DEFERRED_AFTER:
            return True
        again = now + int(back_off(self._number, policy=policy, chance=1.0) * 1000)
        return message.expires_at is not None and again >= message.expires_at

    def _decided(self, mark: Mark, outcome: Outcome) -> Finish:
        """What follows; a fault of ours in reckoning it leaves doubt, for the request may have been taken (PROMISES §3)."""
        try:
            return self._decide(mark, outcome)
        except Exception as fault:  # noqa: BLE001 - see above
            self._fault(fault)
            now = self._tools.clock.now()
            step = Settle(now + int(self._tools.policy.settle_checks[0] * 1000))
            return self._finish_for(step, _fault_of_ours(fault), mark, now)

    def _decide(self, mark: Mark, outcome: Outcome) -> Finish:
        message, tools, now = self._message, self._tools, self._tools.clock.now()
        situation = Situation(
            now=now,
            number=self._number,
            fallback=self._fallback(now),
            gives_up_at=self._gives_up_at(),
            chance=int.from_bytes(tools.chance(4), "big") / 2**32,
        )
        step = next_step(message, outcome, situation, tools.policy)
        finish = self._finish_for(step, outcome, mark, now)
        log(
            finish.event,
            level=logging.WARNING if finish.status in LOST else logging.INFO,
            message=message.id,
            client=message.client,
            transport=self._place.transport,
            attempt=self._number,
            outcome=name_of(outcome),
            scope=scope_of(outcome),
            code=None if finish.status is Status.SENT else outcome.answer.code,
            request_id=outcome.answer.request_id,
        )
        return finish

    def _gives_up_at(self) -> Millis:
        """The default expiry; the time of a block of the lane or the transport does not count (PROMISES §6)."""
        place = self._place
        ended = max(
            NEVER if place.lane.blocked(place.transport) else place.lane.block_ended_at,
            self._tools.gates.block_ended_at(place.transport),
        )
        again = ended + int(self._tools.policy.expire_after * 1000) if ended else 0
        return max(self._message.gives_up_at, again)

    def _fallback(self, now: Millis) -> str | None:
        route = self._message.route
        place = route.index(self._place.transport) if self._place.transport in route else -1
        unusable = self._tools.gates.unusable(now) | self._place.lane.unusable(now)
        return next((name for name in route[place + 1 :] if name not in unusable), None)

    def _finish_for(self, step: Step, outcome: Outcome, mark: Mark, now: Millis) -> Finish:
        return finish_of(step, outcome, message=self._message, mark=mark, now=now, accounts=self._tools.accounts)

    async def _finish(self, finish: Finish) -> None:
        """Repeat until it is written: an outcome never turns into another one, and its slot stays taken if it fails."""
        writing = asyncio.ensure_future(self._tools.spool.finish(finish))
        await asyncio.sleep(0)  # the write is under way, so the next mark of this lane shares its commit
        self._let_go()
        pause = SPOOL_PAUSE
        while True:
            try:
                written = await writing
            except Exception as fault:  # noqa: BLE001 - whatever it is, what happened on the wire stays true
                self._take_again()
                if not isinstance(fault, SpoolUnavailableError):
                    self._fault(fault)
                    pause = min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause)
                writing = asyncio.ensure_future(self._tools.spool.finish(finish))
                continue
            self.again = finish.status is Status.QUEUED or not written
            if written:
                self._tools.watch.tell(finish.id, finish.status)
                self._measure(finish)
            return

    def _measure(self, finish: Finish) -> None:
        """Tell who counts of a message that is final; the wait begins when it was due, if that was later (a schedule)."""
        message, meter, transport = self._message, self._tools.meter, self._place.transport
        if not finish.status.final:
            return
        meter.finished(finish.status, transport=transport)
        if finish.status is Status.SENT:
            first_due = message.gives_up_at - int(self._tools.policy.expire_after * 1000)
            since = max(message.accepted_at, first_due)
            meter.sent(transport, seconds=max(finish.ended_at - since, 0) / 1000)

    def _let_go(self) -> None:
        """Give the slot back; the first time also say what became of the places that were taken."""
        if not self._holding:
            return
        self._holding = False
        lane, started = self._place.lane, self._place.started
        if self._over:
            lane.give_slot(started)
            return
        self._over = True
        if self._send is None:
            lane.unstart(started)  # nothing left for the wire
        else:
            lane.end(started, self._tools.clock.now())
        if self._place.ceiling is not None:
            self._place.ceiling.end()

    def _take_again(self) -> None:
        if not self._holding:
            self._holding = True
            self._place.lane.take_again(self._place.started)


def _fault_of_ours(fault: BaseException) -> Unconfirmed:
    text = "a fault of posthouse while the request was under way"
    return Unconfirmed(answer=Answer(status="4.3.0", text=text, code=type(fault).__name__))


def _not_begun(text: str, code: str, *, at_once: bool) -> TransientFailure:
    return TransientFailure(scope=Scope.MESSAGE, answer=Answer(status="4.3.0", text=text, code=code), at_once=at_once)
