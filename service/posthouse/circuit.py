"""Whether a transport may be used now: its circuit, its blocks, its pauses (PROMISES §6). Pure: time is an argument.

The circuit opens after 3 failures of scope transport or 5 unconfirmed sends, each from different messages and without
a proof of life between. It stays open max(Retry-After, first time doubling to the longest); then a request that
cannot double, then one message, closes it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from posthouse.message import Millis
from posthouse.records import SILENCE, Told, TransportRow

FAILURES: Final = 3
DOUBTS: Final = 5
FIRST_PROBE: Final = 120.0
"""Seconds between probes of a block where nothing was ever sent: somebody is just setting it up (CONTRACT §4)."""
NEAR_EXPIRY: Final[Millis] = 15 * 60_000
PAUSED_LOOK: Final[Millis] = 30_000
"""When to ask again for a transport that a person paused; resuming tells at once."""


class State(StrEnum):
    """``trial``: the far side lives, one message may try."""

    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a circuit stays open at first and at most, and between probes of a block."""

    first: float = 30.0
    longest: float = 300.0
    blocked: float = 900.0


class Circuit:
    """The gate of one transport."""

    def __init__(self, name: str, *, patience: Patience) -> None:
        self.name = name
        self.state = State.CLOSED
        self.until: Millis = 0
        self.since: Millis = 0
        self.reason = ""
        self._patience = patience
        self._opened = 0
        self.block_ended_at: Millis = 0
        self.told = SILENCE
        self._failed: set[int] = set()
        self._doubted: set[int] = set()
        self._trial: int | None = None

    def restore(self, row: TransportRow) -> None:
        """Go on where a former process stopped."""
        self.state, self.until, self.since = State(row.state), row.until, row.since
        self._opened, self.reason, self.told = row.opened, row.reason, row.told
        self.block_ended_at = row.block_ended_at

    def row(self) -> TransportRow:
        """What must survive a restart; a trial is an open circuit for the next process."""
        state = State.OPEN if self.state is State.TRIAL else self.state
        return TransportRow(
            name=self.name,
            state=state.value,
            until=self.until,
            opened=self._opened,
            reason=self.reason,
            since=self.since,
            block_ended_at=self.block_ended_at,
            told=self.told,
        )

    def usable_at(self, now: Millis) -> Millis | None:
        """None where a message may use the transport now, else when to ask again."""
        if self.told.paused:
            return now + PAUSED_LOOK
        if self.state is State.CLOSED:
            return None
        if self._trial is not None:
            return now + 1_000
        if self.state is State.TRIAL or (self.state is State.BLOCKED and self.until <= now):
            return None
        return max(self.until, now + 1_000)

    def admits(self, now: Millis, *, key: int, expires_at: Millis | None, alone: bool = False) -> bool:
        """Whether this message may go now; outside CLOSED it then is the one trial.

        One with a near expiry is no trial, unless it has no other way to go (``alone``).
        """
        if self.told.paused:
            return False
        if self.state is State.CLOSED:
            return True
        near = not alone and expires_at is not None and expires_at - now < NEAR_EXPIRY
        if self.usable_at(now) is not None or near:
            return False
        self._trial = key
        return True

    def wants_probe(self, now: Millis) -> bool:
        """Whether it is time for the request that cannot double."""
        return self.state is State.OPEN and self.until <= now and not self.told.paused

    def probed(self, now: Millis, *, alive: bool) -> bool:
        """Take the probe's answer; True where the state changed."""
        if self.state is not State.OPEN:
            return False
        if alive:
            self.state = State.TRIAL
            return True
        self._open(now, retry_after=None)
        return True

    def abandoned(self, key: int) -> None:
        """The trial message did not go after all."""
        if self._trial == key:
            self._trial = None

    def alive(self, now: Millis) -> bool:
        """A proof of life closes the circuit and ends a block; True where it was not closed before."""
        changed = self.state is not State.CLOSED
        if self.state is State.BLOCKED:
            self.block_ended_at = now
        self._failed.clear()
        self._doubted.clear()
        self._trial = None
        self._opened = 0
        self.state = State.CLOSED
        return changed

    def failed(self, now: Millis, *, key: int, retry_after: float | None, reason: str) -> bool:
        """A failure of scope transport; True where the circuit opened with it."""
        self._failed.add(key)
        return self._judge(now, key=key, retry_after=retry_after, reason=reason)

    def doubted(self, now: Millis, *, key: int, retry_after: float | None, reason: str) -> bool:
        """An unconfirmed send; True where the circuit opened with it."""
        self._doubted.add(key)
        return self._judge(now, key=key, retry_after=retry_after, reason=reason)

    def block(self, now: Millis, *, reason: str, longest: float | None = None) -> bool:
        """An administrator must act; True where this is news; the next probe in ``longest`` seconds at the latest."""
        news = self.state is not State.BLOCKED
        self.state, self._trial, self.reason = State.BLOCKED, None, reason
        self.since = now if news else self.since
        probe = self._patience.blocked
        self.until = now + int((probe if longest is None else min(probe, longest)) * 1000)
        return news

    @property
    def steady(self) -> bool:
        """Whether everybody may use it."""
        return self.state is State.CLOSED and not self.told.paused

    def hear(self, told: Told, now: Millis) -> bool:
        """Take a person's word where it is newer than what is known; False where it is not."""
        if told == self.told or told.at < self.told.at:
            return False
        self.told = told
        if not told.paused:
            self.resume(now)
        return True

    def resume(self, now: Millis) -> None:
        """Somebody says that the cause is mended: one message may try at once."""
        if self.state is State.OPEN:
            self.state = State.TRIAL
        self.until = min(self.until, now)

    def _judge(self, now: Millis, *, key: int, retry_after: float | None, reason: str) -> bool:
        was_trial = self._trial == key
        self.abandoned(key)
        if self.state is State.CLOSED and (len(self._failed) >= FAILURES or len(self._doubted) >= DOUBTS):
            self.since, self.reason = now, reason
            self._open(now, retry_after=retry_after)
            return True
        if was_trial:
            self._open(now, retry_after=retry_after)
        return False

    def _open(self, now: Millis, *, retry_after: float | None) -> None:
        stay = min(self._patience.first * 2**self._opened, self._patience.longest)
        self._opened += 1
        self.state = State.OPEN
        self.until = now + int(max(stay, retry_after or 0.0) * 1000)
        self._failed.clear()
        self._doubted.clear()
