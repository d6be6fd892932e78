"""Wall-clock time that jumps when the plan says so, and the service's own clock over it, which must not."""

from posthouse.clock import SteadyClock
from posthouse.continuity import RATE
from posthouse.message import Millis
from tests.simulation.loop import VirtualLoop

START: Millis = 1_764_000_000_000
BOOTED = 5_000_000_000_000
"""Nanoseconds that the machine had been up at the beginning."""


class VirtualClock:
    """The wall clock of the machine, and what a process that reads it may rightly believe."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._offset: Millis = 0
        self._jumped = False
        self._latest: Millis = 0
        self._began: tuple[float, Millis] = (0.0, START)
        self._begun_with: Millis = 0
        self.machine = "the first"

    def wall(self) -> Millis:
        """What the machine's clock shows."""
        return START + self._offset + self._loop.us // 1000

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._jumped = True
        self._offset += int(seconds * 1000)

    def begin(self) -> SteadyClock:
        """A process starts: its own clock, the service's real one."""
        self._latest = self.latest
        self._began, self._begun_with = (self._loop.time(), self.wall()), self._offset
        return SteadyClock(
            wall=lambda: (START + self._offset) * 1_000_000 + self._loop.us * 1000,
            steady=lambda: BOOTED + self._loop.us * 1000,
            boot=lambda: self.machine,
        )

    def was_set_since_start(self) -> bool:
        """Whether a process that starts now has another time than the one before it."""
        return self._offset != self._begun_with

    @property
    def latest(self) -> Millis:
        """The latest time that any process so far may have believed it is."""
        return max(self._latest, self._believed(1))

    @property
    def earliest(self) -> Millis:
        """The earliest time that the process of now may believe it is."""
        return self._believed(-1)

    def _believed(self, sign: int) -> Millis:
        began, wall = self._began
        passed = (self._loop.time() - began) * 1000
        drawn = passed / RATE if self._jumped else 0.0
        return int(wall + passed + sign * (drawn + 2.0))
