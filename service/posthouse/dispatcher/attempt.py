"""One attempt: ``sending`` durably, then the wire, then what happened, durably (PROMISES §3)."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from posthouse.delivery import (
    REFUSE_DEFERRED_AFTER,
    Done,
    GiveUp,
    Hold,
    Policy,
    RetryAt,
    Settle,
    Situation,
    Step,
    TryNext,
    Wait,
    back_off,
    next_step,
)
from posthouse.dispatcher.contents import broken_off, unreadable, watched
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.gates import Gates
from posthouse.lanes import Lane, Use
from posthouse.message import Content, Message, Millis, Status
from posthouse.outcome import Answer, Outcome, RefusedRecipient, Scope, TransientFailure, Unconfirmed, name_of, scope_of
from posthouse.ports import Clock, ContentUnreadableError, Dispatch, Spool, SpoolUnavailableError, Transport
from posthouse.records import Finish, Mark
from posthouse.telemetry import (
    MESSAGE_DEFERRED,
    MESSAGE_EXPIRED,
    MESSAGE_FAILED,
    MESSAGE_FELL_BACK,
    MESSAGE_HELD,
    MESSAGE_SENDING,
    MESSAGE_SENT,
    MESSAGE_UNCONFIRMED,
    SERVICE_FAULT,
    log,
)
from posthouse.watch import Watch

LOST = frozenset({Status.FAILED, Status.EXPIRED})
"""What a reader of the log's warnings must see."""
LEASE_MARGIN = 5.0
"""Seconds before the lease's end from which nothing begins on the wire any more (PROMISES §3)."""
SPOOL_PAUSE = 1.0
"""Seconds between tries to write an outcome that the spool could not take."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt takes place: its lanes (the leased one first), the fence, the transport, the account."""

    lane: int
    fence: int
    lanes: tuple[Lane, ...]
    transport: str
    account: str
    use: Use


class Attempt:
    """Carries one message through one try; the slots were taken by who made it, and are given back here."""

    def __init__(self, message: Message, place: Place, tools: Tools) -> None:
        self._message = message
        self._place = place
        self._tools = tools
        self._number = message.attempts + 1
        self._send: asyncio.Task[Outcome] | None = None
        self._holding = True
        self._cut = False
        self.unmarked = False
        """Whether the row was not there to be marked any more, or the lease was over."""

    def cut(self) -> None:
        """End the send now: its connection closes and the message is unconfirmed; one not begun does not begin."""
        self._cut = True
        if self._send is not None:
            self._send.cancel()

    async def run(self) -> None:
        """Mark, send, decide, finish."""
        message, tools, place = self._message, self._tools, self._place
        try:
            now = tools.clock.now()
            mark = self._mark(now)
            marked, content = await asyncio.gather(
                tools.spool.mark(mark), tools.spool.content(message.key), return_exceptions=True
            )
            if isinstance(marked, BaseException):
                raise marked
            if not marked:
                self._never_began()
                self.unmarked = True
                return
            log(MESSAGE_SENDING, message=message.id, transport=place.transport, attempt=self._number)
            outcome = await self._outcome(mark, content)
            await self._affect(outcome)
            await self._finish(self._decide(outcome))
        except SpoolUnavailableError:
            # nothing was marked, so nothing was sent; the row stays queued
            await asyncio.sleep(SPOOL_PAUSE)
        finally:
            tools.gates.abandoned(place.transport, message)
            self._let_go()

    async def _affect(self, outcome: Outcome) -> None:
        """What the outcome does beyond the message; a fault of ours there must not lose the outcome itself."""
        try:
            self._tools.gates.observe(self._place.transport, self._message, outcome)
            place = self._place
            # the last lane is the account's own; only the leased one stands in the spool under this lease
            own = place.lanes[-1] is place.lanes[0]
            await self._tools.effects.apply(
                self._message,
                outcome,
                transport=place.transport,
                lane=place.lanes[-1],
                lane_key=place.lane if own else None,
            )
        except Exception as fault:  # noqa: BLE001 - see above
            log(SERVICE_FAULT, level=logging.ERROR, message=self._message.id, error=type(fault).__name__)

    def _mark(self, now: Millis) -> Mark:
        message, place, tools = self._message, self._place, self._tools
        return Mark(
            key=message.key,
            id=message.id,
            lane=place.lane,
            fence=place.fence,
            number=self._number,
            attempt_id=str(uuid.UUID(bytes=tools.chance(16), version=4)),
            transport=place.transport,
            kind=tools.transports[place.transport].kind,
            account=place.account,
            started_at=now,
            deadline_at=now + int(tools.policy.attempt_seconds(message.size) * 1000),
        )

    def _never_began(self) -> None:
        """Canceled, expired or another's by now: the minute is not used up by what never left."""
        self._holding = False
        for lane in self._place.lanes:
            lane.unstart(self._place.transport, self._place.use)

    async def _outcome(self, mark: Mark, content: Content | BaseException | None) -> Outcome:
        if self._cut:
            return _not_begun("the service was stopping", "stopping", at_once=True)
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
        )
        self._send = asyncio.create_task(self._tools.transports[mark.transport].send(dispatch))
        await asyncio.wait({self._send}, timeout=self._tools.policy.attempt_seconds(self._message.size))
        if not self._send.done():
            self._send.cancel()
            await asyncio.wait({self._send})
        return broken_off(self._send, body) or self._result(self._send)

    def _result(self, send: asyncio.Task[Outcome]) -> Outcome:
        if send.cancelled():
            text = "no answer before the attempt's deadline or the end of the service's drain"
            return Unconfirmed(answer=Answer(status="4.4.7", text=text, code="no_answer", fix="no_answer"))
        fault = send.exception()
        if fault is not None:
            log(SERVICE_FAULT, level=logging.ERROR, message=self._message.id, error=type(fault).__name__)
            text = "a fault of posthouse while the request was under way"
            return Unconfirmed(answer=Answer(status="4.3.0", text=text, code=type(fault).__name__))
        return send.result()

    async def _note_refused(self, refused: Sequence[RefusedRecipient]) -> None:
        await self._tools.spool.note_refused(key=self._message.key, number=self._number, refused=refused)

    def _refuse_deferred(self, now: Millis) -> bool:
        message, policy = self._message, self._tools.policy
        if message.first_tried_at is not None and now - message.first_tried_at >= REFUSE_DEFERRED_AFTER:
            return True
        again = now + int(back_off(self._number, policy=policy, chance=1.0) * 1000)
        return message.expires_at is not None and again >= message.expires_at

    def _decide(self, outcome: Outcome) -> Finish:
        message, tools, now = self._message, self._tools, self._tools.clock.now()
        situation = Situation(
            now=now,
            number=self._number,
            fallback=self._fallback(now),
            gives_up_at=self._gives_up_at(),
            chance=int.from_bytes(tools.chance(4), "big") / 2**32,
        )
        step = next_step(message, outcome, situation, tools.policy)
        finish = self._finish_for(step, outcome, now)
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
        """The default expiry; the time behind a block of the lane or the transport does not count (PROMISES §6)."""
        blocks = [lane.block_ended_at for lane in self._place.lanes]
        blocks.append(self._tools.gates.block_ended_at(self._place.transport))
        ended = max(blocks)
        again = ended + int(self._tools.policy.expire_after * 1000) if ended else 0
        return max(self._message.gives_up_at, again)

    def _fallback(self, now: Millis) -> str | None:
        route = self._message.route
        place = route.index(self._place.transport) if self._place.transport in route else -1
        unusable = self._tools.gates.unusable(now) | self._place.lanes[0].unusable(now)
        return next((name for name in route[place + 1 :] if name not in unusable), None)

    def _finish_for(self, step: Step, outcome: Outcome, now: Millis) -> Finish:
        message = self._message
        finish = Finish(
            key=message.key,
            id=message.id,
            lane=message.lane,
            number=self._number,
            ended_at=now,
            outcome=outcome,
            status=Status.QUEUED,
            event=MESSAGE_DEFERRED,
        )
        match step:
            case Done():
                return replace(finish, status=Status.SENT, event=MESSAGE_SENT)
            case TryNext(transport):
                return replace(finish, due_at=message.due_at, next_transport=transport, event=MESSAGE_FELL_BACK)
            case RetryAt(at):
                return replace(finish, due_at=at)
            case Wait():
                return replace(finish, due_at=message.due_at)
            case Settle(look_at):
                return replace(finish, status=Status.UNCONFIRMED, look_at=look_at, event=MESSAGE_UNCONFIRMED)
            case Hold(cause):
                return replace(finish, status=Status.HELD, held_cause=cause, event=MESSAGE_HELD)
            case GiveUp(status):
                event = MESSAGE_EXPIRED if status is Status.EXPIRED else MESSAGE_FAILED
                return replace(finish, status=status, event=event)
            case _:
                assert_never(step)

    async def _finish(self, finish: Finish) -> None:
        """Repeat until it is written: an outcome never turns into another one, and its slot stays taken if it fails."""
        writing = asyncio.ensure_future(self._tools.spool.finish(finish))
        await asyncio.sleep(0)  # the write is under way, so the next mark of this lane shares its commit
        self._let_go()
        while True:
            try:
                written = await writing
            except SpoolUnavailableError:
                self._take_again()
                await asyncio.sleep(SPOOL_PAUSE)
                writing = asyncio.ensure_future(self._tools.spool.finish(finish))
                continue
            if written:
                self._tools.watch.tell(finish.id, finish.status)
            return

    def _let_go(self) -> None:
        if self._holding:
            self._holding = False
            for lane in self._place.lanes:
                lane.end(self._place.transport)

    def _take_again(self) -> None:
        if not self._holding:
            self._holding = True
            for lane in self._place.lanes:
                lane.take_again(self._place.transport)


def _not_begun(text: str, code: str, *, at_once: bool) -> TransientFailure:
    return TransientFailure(scope=Scope.MESSAGE, answer=Answer(status="4.3.0", text=text, code=code), at_once=at_once)
