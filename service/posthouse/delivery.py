"""Where a message goes after an outcome, and what a look-up means: pure decisions (PROMISES §4 to §6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from posthouse.message import Message, Millis, OnUnconfirmed, Status
from posthouse.outcome import Blocked, Outcome, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed

REFUSE_DEFERRED_AFTER: Final[Millis] = 4 * 3_600_000
"""After 4 h recipients answered 4xx at RCPT count as refused (PROMISES §4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of ``[delivery]`` in seconds."""

    retry_first: float = 5.0
    retry_max: float = 900.0
    expire_after: float = 432_000.0
    settle_checks: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 1800.0)
    blocked_probe: float = 900.0
    attempt_timeout: float = 60.0
    drain_timeout: float = 20.0

    def attempt_seconds(self, size: int) -> float:
        """How long an attempt may take: the timeout plus the size at 100 kB/s (PROMISES §3)."""
        return self.attempt_timeout + size / 100_000


@dataclass(frozen=True, slots=True)
class Done:
    """Sent."""


@dataclass(frozen=True, slots=True)
class TryNext:
    """At once by another transport of the route."""

    transport: str


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Again at a time."""

    at: Millis


@dataclass(frozen=True, slots=True)
class Wait:
    """Stays due where it is; what it waits for (a pause, a block) stands elsewhere."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Find out what became of it, first at ``look_at``."""

    look_at: Millis


@dataclass(frozen=True, slots=True)
class Hold:
    """Waits for a person or a policy."""

    cause: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Final without success."""

    status: Status


Step = Done | TryNext | RetryAt | Wait | Settle | Hold | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a decision knows beside the outcome.

    ``fallback`` is the next transport of the route that can be used now; ``gives_up_at`` the default expiry, blocks
    left out; ``chance`` is uniform in [0, 1).
    """

    now: Millis
    number: int
    fallback: str | None
    gives_up_at: Millis
    chance: float


def next_step(message: Message, outcome: Outcome, situation: Situation, policy: Policy) -> Step:
    """What happens to the message now; no outcome is left out."""
    match outcome:
        case Sent():
            return Done()
        case PermanentFailure():
            return GiveUp(Status.FAILED)
        case Unconfirmed():
            return _after_doubt(message, situation, policy)
        case Blocked():
            return _after_block(outcome, situation)
        case TransientFailure():
            return _after_failure(message, outcome, situation, policy)
        case _:
            assert_never(outcome)


def back_off(number: int, *, policy: Policy, chance: float) -> float:
    """Seconds before try ``number`` + 1: doubling from the first to the longest, between half and the whole of it."""
    whole = min(policy.retry_first * 2.0 ** min(number - 1, 32), policy.retry_max)
    return whole * (0.5 + chance / 2)


def choose(message: Message, unusable: Mapping[str, Millis]) -> str | Millis:
    """The transport for the next attempt, or when to ask again; the first of the route goes before all others.

    A message that falls back starts at ``next_transport``; where no later transport can be used it takes an earlier.
    """
    route = message.route
    if message.next_transport in route:
        start = route.index(message.next_transport)
        route = route[start:] + route[:start]
    for name in route:
        if name not in unusable:
            return name
    return min((unusable[name] for name in route), default=0)


def _after_doubt(message: Message, situation: Situation, policy: Policy) -> Step:
    match message.on_unconfirmed:
        case OnUnconfirmed.SETTLE:
            return _settle(situation, policy)
        case OnUnconfirmed.RETRY:
            again = _retry(message, situation, policy, at=None)
            # too late to be sent again, and perhaps sent: nothing in doubt expires (PROMISES §5)
            return _settle(situation, policy) if isinstance(again, GiveUp) else again
        case OnUnconfirmed.HOLD:
            return Hold("unconfirmed")
        case _:
            assert_never(message.on_unconfirmed)


def _settle(situation: Situation, policy: Policy) -> Settle:
    return Settle(situation.now + int(policy.settle_checks[0] * 1000))


def _after_block(blocked: Blocked, situation: Situation) -> Step:
    scope = blocked.scope
    if scope is Scope.SENDER:
        return Hold("sender_blocked")
    if scope is Scope.TRANSPORT and situation.fallback is not None:
        return TryNext(situation.fallback)
    if scope is Scope.MESSAGE:
        return Hold(blocked.answer.code)
    return Wait()


def _after_failure(message: Message, failure: TransientFailure, situation: Situation, policy: Policy) -> Step:
    if failure.scope is Scope.TRANSPORT and situation.fallback is not None and not _over(message, situation.now):
        return TryNext(situation.fallback)
    if failure.at_once:
        return _retry(message, situation, policy, at=situation.now)
    at = None
    if failure.answer.retry_after is not None:
        at = situation.now + int(failure.answer.retry_after * 1000)
    return _retry(message, situation, policy, at=at)


def _retry(message: Message, situation: Situation, policy: Policy, *, at: Millis | None) -> Step:
    if at is None:
        at = situation.now + int(back_off(situation.number, policy=policy, chance=situation.chance) * 1000)
    # nothing expires by default at its first attempt: whatever kept it waiting so long was no failure of its own
    tired = message.expires_at is None and situation.number > 1 and situation.now >= situation.gives_up_at
    if _over(message, at) or tired:
        return GiveUp(Status.EXPIRED)
    return RetryAt(at)


def _over(message: Message, at: Millis) -> bool:
    return message.expires_at is not None and at >= message.expires_at
