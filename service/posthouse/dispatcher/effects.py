"""What an outcome does beyond its message: pauses and blocks of lanes and senders, written down (PROMISES §4, §6)."""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

from posthouse.circuit import FIRST_PROBE
from posthouse.delivery import Policy
from posthouse.lanes import THROTTLED_REASON, Lane
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
                    await self._succeeded(message, outcome, transport=transport, lane=lane, lane_key=lane_key)
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

    async def _succeeded(self, message: Message, outcome: Sent, *, transport: str, lane: Lane, lane_key: int) -> None:
        """End the blocks that it disproves, and rest where it asks for that: both hold before anything is written."""
        self._proven.add(message.account)
        ended = self._end_blocks(lane, lane_key, transport)
        stands = None
        if outcome.answer.retry_after:
            pause = self._pause_for(outcome, self._rest_of(outcome), transport=None)
            stands = self._note(lane, pause, mailbox=message.account)
        for name, at in ended:
            await self._spool.resume(lane=lane_key, transport=name, at=at)
        if stands is not None:
            await self._save(lane, lane_key, stands)
        pair = (message.mailbox, message.sender)
        if pair not in self._good_senders:
            await self._spool.unblock_sender(mailbox=message.mailbox, sender=message.sender, at=self._clock.now())
            self._good_senders.add(pair)

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
        await self._write(lane, lane_key, self._pause_for(outcome, seconds, transport=transport), mailbox=mailbox)

    def _pause_for(self, outcome: Outcome, seconds: float, *, transport: str | None) -> Pause:
        now: Millis = self._clock.now()
        reason = outcome.answer.fix or outcome.answer.code
        if isinstance(outcome, Sent):
            reason = THROTTLED_REASON  # a 202 carries no code of its own
        length = math.ceil(seconds * 1000)
        return Pause(transport, now + length, reason, blocked=isinstance(outcome, Blocked), since=now, length=length)

    async def _write(self, lane: Lane, lane_key: int, pause: Pause, *, mailbox: str) -> None:
        stands = self._note(lane, pause, mailbox=mailbox)
        if stands is not None:
            await self._save(lane, lane_key, stands)

    def _note(self, lane: Lane, pause: Pause, *, mailbox: str) -> Pause | None:
        """Pause from now on; what stands, where that is news to be written down."""
        before, news = lane.standing(pause.transport), not lane.blocked(pause.transport or "")
        stands = lane.pause(pause)
        if stands == before:
            return None
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
        return stands

    async def _save(self, lane: Lane, lane_key: int, stands: Pause) -> None:
        await self._spool.pause(lane=lane_key, pause=stands)
        lane.saved(stands.transport)

    async def _resume(self, lane: Lane, lane_key: int, transport: str) -> None:
        for name, at in self._end_blocks(lane, lane_key, transport):
            await self._spool.resume(lane=lane_key, transport=name, at=at)

    def _end_blocks(self, lane: Lane, lane_key: int, transport: str) -> list[tuple[str | None, Millis]]:
        """The blocks that ended, and when."""
        ended: list[tuple[str | None, Millis]] = []
        for name in lane.blocks(transport):
            now = self._clock.now()
            lane.resume(now, name)
            log(LANE_RESUMED, lane=lane_key, transport=name)
            ended.append((name, now))
        return ended

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
