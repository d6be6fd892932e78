"""Time that does not jump: the wall clock as it was at start, carried on by a clock that nobody can set.

A wall clock that is set an hour forward or back must neither let scheduled mail go early nor keep due mail waiting.
So ``now`` goes on by CLOCK_BOOTTIME (clock_gettime(2): never set, and it counts while a machine sleeps) and is drawn
towards the wall clock by ``RATE``: 18 s an hour. An hour of wrong time therefore lets nothing go more than 18 s early;
a Retry-After of 200 s is still kept to the second and a minute's window is at most 0.3 s short while time is drawn;
and a difference of an hour that lasts is gone after eight days, or at once by a restart, which takes the wall clock.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from posthouse.continuity import RATE, Anchor
from posthouse.message import Millis
from posthouse.telemetry import CLOCK_AGREES, CLOCK_DIFFERS, log

DIFFERS: Final = 5_000_000_000
"""Nanoseconds between wall and own time from which somebody is told."""
DRAWN_EVERY: Final = 1_000_000_000
"""Nanoseconds between looks at the wall clock."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""A name of its own for each run of the machine (proc(5))."""
_MILLI: Final = 1_000_000


def boot_time() -> int:
    """Nanoseconds since the machine started, sleep included where the system can say so."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


def boot_name() -> str | None:
    """What tells this run of the machine from all others, where the system says so and its clock counts from its start."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    try:
        return BOOT_ID.read_text("ascii").strip() or None
    except OSError:
        return None


class SteadyClock:
    """The time of one process; ``wall`` and ``steady`` give nanoseconds, ``boot`` names the run of the machine.

    Safe to be asked from any thread.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = boot_time,
        boot: Callable[[], str | None] = boot_name,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._boot = boot()
        self._drawn_at = steady()
        self._ahead = wall() - self._drawn_at
        self._latest: Millis = 0
        self._drawing = threading.Lock()
        self._differs = False

    def now(self) -> Millis:
        """Milliseconds since 1970 UTC; never less than before."""
        at = self._steady()
        if at - self._drawn_at >= DRAWN_EVERY and self._drawing.acquire(blocking=False):
            try:
                self._draw(at)
            finally:
                self._drawing.release()
        now = (at + self._ahead) // _MILLI
        self._latest = max(now, self._latest)
        return self._latest

    def monotonic(self) -> float:
        """Seconds that never jump, a machine's sleep included, so that a lease ends while its owner sleeps."""
        return self._steady() / 1e9

    def apart(self) -> Millis:
        """By how much the wall clock is ahead of this one."""
        return self._wall() // _MILLI - self.now()

    def anchor(self) -> Anchor | None:
        """How far this time is ahead of the machine's own; None where nothing tells that from another run's."""
        return None if self._boot is None else Anchor(self._boot, self._ahead // _MILLI)

    def _draw(self, at: int) -> None:
        most = (at - self._drawn_at) // RATE
        apart = self._wall() - (at + self._ahead)
        self._ahead += max(-most, min(apart, most))
        self._drawn_at = at
        if (abs(apart) > DIFFERS) is not self._differs:
            self._differs = not self._differs
            self._tell(apart / 1e9)

    def _tell(self, seconds: float) -> None:
        if not self._differs:
            log(CLOCK_AGREES)
            return
        words = "the wall clock was set; own time follows it by 18 s an hour, a restart takes it at once"
        log(CLOCK_DIFFERS, level=logging.WARNING, wall_ahead_seconds=round(seconds, 1), detail=words)
