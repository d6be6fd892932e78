"""What an outcome does beyond its message: pauses and blocks of lanes and senders, written down (PROMISES §4, §6)."""

import logging

from posthouse.delivery import Policy
from posthouse.lanes import Lane
from posthouse.message import Message, Millis
from posthouse.outcome import Blocked, Outcome, PermanentFailure, Scope, Sent, TransientFailure
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.records import Pause, SenderBlock
from posthouse.telemetry import LANE_PAUSED, LANE_RESUMED, SENDER_BLOCKED, log

THROTTLED: float = 10.0
"""Seconds that a throttled mailbox rests where the answer names no Retry-After."""
FIRST_PROBE: float = 120.0
"""Seconds between probes of a mailbox that has never sent: somebody is just setting it up."""


class Effects:
    """Pauses lanes, blocks senders, and ends both when a success shows that the cause is gone."""

    def __init__(self, *, spool: Spool, policy: Policy, clock: Clock, proven: set[str]) -> None:
        self._spool = spool
        self._policy = policy
        self._clock = clock
        self._good_senders: set[tuple[str, str]] = set()
        self._proven = proven

    async def apply(self, message: Message, outcome: Outcome, *, lane: Lane, lane_key: int) -> None:
        """Do all of it; what the spool cannot take now is only lost for the next process, never for this one."""
        try:
            match outcome:
                case Sent():
                    await self._succeeded(message, outcome, lane=lane, lane_key=lane_key)
                case PermanentFailure(scope=Scope.MESSAGE):
                    await self._resume(lane, lane_key)
                case TransientFailure(scope=Scope.MAILBOX):
                    rest = outcome.answer.retry_after
                    await self._pause(lane, lane_key, rest if rest is not None else THROTTLED, outcome)
                case Blocked(scope=Scope.MAILBOX):
                    await self._pause(lane, lane_key, self._probe_after(message.account), outcome)
                case Blocked(scope=Scope.SENDER):
                    await self._block_sender(message, outcome)
                case _:
                    return
        except SpoolUnavailableError:
            return

    async def _succeeded(self, message: Message, outcome: Sent, *, lane: Lane, lane_key: int) -> None:
        self._proven.add(message.account)
        await self._resume(lane, lane_key)
        pair = (message.mailbox, message.sender)
        if pair not in self._good_senders:
            self._good_senders.add(pair)
            await self._spool.unblock_sender(mailbox=message.mailbox, sender=message.sender, at=self._clock.now())
        if outcome.answer.retry_after:
            await self._pause(lane, lane_key, outcome.answer.retry_after, outcome)

    def _probe_after(self, account: str) -> float:
        probe = self._policy.blocked_probe
        return probe if account in self._proven else min(probe, FIRST_PROBE)

    async def _pause(self, lane: Lane, lane_key: int, seconds: float, outcome: Outcome) -> None:
        now: Millis = self._clock.now()
        blocked = isinstance(outcome, Blocked)
        reason = outcome.answer.fix or outcome.answer.code
        pause = Pause(None, now + int(seconds * 1000), reason, blocked=blocked, since=now)
        stands = lane.pause(pause)
        if stands.until == pause.until:
            level = logging.WARNING if blocked else logging.INFO
            log(LANE_PAUSED, level=level, lane=lane_key, until=stands.until, reason=reason, blocked=blocked)
            await self._spool.pause(lane=lane_key, pause=stands)

    async def _resume(self, lane: Lane, lane_key: int) -> None:
        if lane.blocked is not None:
            lane.resume(self._clock.now())
            log(LANE_RESUMED, lane=lane_key)
            await self._spool.resume(lane=lane_key, transport=None)

    async def _block_sender(self, message: Message, outcome: Blocked) -> None:
        now = self._clock.now()
        self._good_senders.discard((message.mailbox, message.sender))
        reason = outcome.answer.fix or outcome.answer.code
        log(SENDER_BLOCKED, level=logging.WARNING, message=message.id, reason=reason)
        await self._spool.block_sender(
            SenderBlock(
                mailbox=message.mailbox,
                sender=message.sender,
                since=now,
                probe_at=now + int(self._policy.blocked_probe * 1000),
                reason=reason,
            )
        )
