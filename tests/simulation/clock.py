"""Wall-clock time that jumps when the plan says so, over a monotonic one that never does."""

from posthouse.message import Millis
from tests.simulation.loop import VirtualLoop

START: Millis = 1_764_000_000_000


class VirtualClock:
    """What the service takes for time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._offset: Millis = 0
        self.latest: Millis = START
        """The latest wall-clock time that there ever was."""

    def now(self) -> Millis:
        at = START + self._offset + self._loop.us // 1000
        self.latest = max(self.latest, at)
        return at

    def monotonic(self) -> float:
        return self._loop.time()

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.now()
        self._offset += int(seconds * 1000)
