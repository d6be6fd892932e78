"""What an outcome does beyond its message: pauses and blocks of lanes and senders, written down (PROMISES §4, §6)."""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

from posthouse.circuit import FIRST_PROBE
from posthouse.delivery import Policy
from posthouse.lanes import Lane
from posthouse.message import Message, Millis
from posthouse.outcome import Blocked, Outcome, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.records import Pause, SenderBlock
from posthouse.telemetry import LANE_PAUSED, LANE_RESUMED, SENDER_BLOCKED, log

THROTTLED: float = 10.0
"""Seconds that a throttled mailbox rests where the answer names no Retry-After."""
SHORTEST: float = 1.0
"""Seconds that it rests at least: a Retry-After of 0 is no leave to hammer."""
JITTER: float = 1.0
"""Seconds of chance after it, so that mailboxes that were throttled together do not come back together."""
THROTTLED_REASON = "graph.throttled"
"""Why a mailbox rests whose mail was taken with a Retry-After (FACTS 0.2)."""
LOGIN_FIXES = frozenset(
    {
        "smtp.token_refused",
        "smtp.disabled_mailbox",
        "smtp.password",
        "smtp.conditional_access",
        "smtp.not_authenticated",
    }
)
"""What an account may not do by SMTP alone: Graph goes on for it (PROMISES §7: pauses name a transport or all)."""


class Effects:
    """Pauses lanes, blocks senders, and ends both when a success shows that the cause is gone."""

    def __init__(
        self, *, spool: Spool, policy: Policy, clock: Clock, chance: Callable[[int], bytes], proven: set[str]
    ) -> None:
        self._chance = chance
        self._spool = spool
        self._policy = policy
        self._clock = clock
        self._good_senders: set[tuple[str, str]] = set()
        self._proven = proven

    async def apply(self, message: Message, outcome: Outcome, *, transport: str, lane: Lane, lane_key: int) -> None:
        """Do all of it; what the spool cannot take now is only lost for the next process, never for this one."""
        try:
            match outcome:
                case Sent():
                    await self._resume(lane, lane_key, transport)
                    await self._succeeded(message, outcome, lane=lane, lane_key=lane_key)
                case PermanentFailure(scope=Scope.MESSAGE) if outcome.answer.reply is not None:
                    await self._resume(lane, lane_key, transport)
                case TransientFailure(scope=Scope.MAILBOX):
                    await self._pause(lane, lane_key, self._rest_of(outcome), outcome, mailbox=message.account)
                case Blocked(scope=Scope.MAILBOX):
                    alone = transport if outcome.answer.fix in LOGIN_FIXES else None
                    await self._pause(
                        lane,
                        lane_key,
                        max(self._probe_after(message.account), outcome.answer.retry_after or 0.0),
                        outcome,
                        mailbox=message.account,
                        transport=alone,
                    )
                case Blocked(scope=Scope.SENDER):
                    await self._block_sender(message, outcome)
                case TransientFailure(scope=Scope.TRANSPORT) | Unconfirmed() if outcome.answer.retry_after:
                    rest = self._rest_of(outcome)
                    await self._pause(lane, lane_key, rest, outcome, mailbox=message.account, transport=transport)
                case _:
                    return
        except SpoolUnavailableError:
            return

    async def rest(self, lane: Lane, lane_key: int, pause: Pause, *, mailbox: str) -> None:
        """Pause a lane for a reason of ours; raises SpoolUnavailableError where that cannot be written down."""
        await self._write(lane, lane_key, pause, mailbox=mailbox)

    def _rest_of(self, outcome: Outcome) -> float:
        """Seconds that a Retry-After asks for, to the second, and chance only behind it (PROMISES §7)."""
        asked = outcome.answer.retry_after
        whole = THROTTLED if asked is None else max(asked, SHORTEST)
        return whole + JITTER * int.from_bytes(self._chance(4), "big") / 2**32

    async def _succeeded(self, message: Message, outcome: Sent, *, lane: Lane, lane_key: int) -> None:
        self._proven.add(message.account)
        pair = (message.mailbox, message.sender)
        if pair not in self._good_senders:
            await self._spool.unblock_sender(mailbox=message.mailbox, sender=message.sender, at=self._clock.now())
            self._good_senders.add(pair)
        if outcome.answer.retry_after:
            await self._pause(lane, lane_key, self._rest_of(outcome), outcome, mailbox=message.account)

    def _probe_after(self, account: str) -> float:
        probe = self._policy.blocked_probe
        return probe if account in self._proven else min(probe, FIRST_PROBE)

    async def _pause(
        self,
        lane: Lane,
        lane_key: int,
        seconds: float,
        outcome: Outcome,
        *,
        mailbox: str,
        transport: str | None = None,
    ) -> None:
        now: Millis = self._clock.now()
        blocked = isinstance(outcome, Blocked)
        reason = outcome.answer.fix or outcome.answer.code
        if isinstance(outcome, Sent):
            reason = THROTTLED_REASON  # a 202 carries no code of its own
        length = math.ceil(seconds * 1000)
        pause = Pause(transport, now + length, reason, blocked=blocked, since=now, length=length)
        await self._write(lane, lane_key, pause, mailbox=mailbox)

    async def _write(self, lane: Lane, lane_key: int, pause: Pause, *, mailbox: str) -> None:
        before, news = lane.standing(pause.transport), not lane.blocked(pause.transport or "")
        stands = lane.pause(pause)
        if stands == before:
            return
        log(
            LANE_PAUSED,
            # one alarm a block: that its probe failed again is no news
            level=logging.WARNING if stands.blocked and news else logging.INFO,
            mailbox=mailbox,
            transport=stands.transport,
            until=datetime.fromtimestamp(stands.until / 1000, UTC).isoformat(timespec="milliseconds"),
            reason=stands.reason,
            blocked=stands.blocked,
        )
        await self._spool.pause(lane=lane_key, pause=stands)
        lane.saved(stands.transport)

    async def _resume(self, lane: Lane, lane_key: int, transport: str) -> None:
        for blocked in lane.blocks(transport):
            now = self._clock.now()
            lane.resume(now, blocked)
            log(LANE_RESUMED, lane=lane_key, transport=blocked)
            await self._spool.resume(lane=lane_key, transport=blocked, at=now)

    async def _block_sender(self, message: Message, outcome: Blocked) -> None:
        now = self._clock.now()
        self._good_senders.discard((message.mailbox, message.sender))
        reason = outcome.answer.fix or outcome.answer.code
        news = await self._spool.block_sender(
            SenderBlock(
                mailbox=message.mailbox,
                sender=message.sender,
                since=now,
                probe_at=now + int(self._probe_after(message.account) * 1000),
                reason=reason,
            )
        )
        if news:
            log(SENDER_BLOCKED, level=logging.WARNING, message=message.id, reason=reason)
        # a success that came in between found no block to end: the next one must look again
        self._good_senders.discard((message.mailbox, message.sender))
