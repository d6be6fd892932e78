"""One life of the process: when it dies, everything in it stops where it stands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import Death

SILENT = 25.0
"""Seconds after which somebody ends a process that can write nothing any more."""
DURABLE = 30.0
"""Seconds after which what a life heard is certainly written down, if its disk was well."""


@dataclass(eq=False)
class Life:
    """``doom``: the death that waits for its moment."""

    number: int
    loop: VirtualLoop
    frail_disk: bool
    dead: bool = False
    draining: bool = False
    ended: float | None = None
    doom: Death | None = None
    on_end: Callable[[], None] | None = None
    _left: int = field(default=0)

    def arm(self, doom: Death) -> None:
        """It will die at the ``count``-th moment of that kind from now on."""
        self.doom, self._left = doom, doom.count

    def step(self) -> bool:
        """One more turn of it; False where it dies before that."""
        return self.doom is None or not self.dies("turn")

    def dies(self, moment: str) -> bool:
        """Whether it dies at this moment; then nothing of it ever happens again."""
        if self.dead or self.doom is None or self.doom.moment != moment:
            return self.dead
        self._left -= 1
        if self._left <= 0:
            self.end()
        return self.dead

    def strikes(self, moment: str) -> bool:
        """Whether what ``doom`` says happens now, other than its death."""
        if self.dead or self.doom is None or self.doom.moment != moment:
            return False
        self._left -= 1
        return self._left == 0

    def fall_silent(self) -> None:
        """Its spool is broken for good: whatever it hears now it may not write down; soon somebody ends it."""
        self.frail_disk = True
        self.loop.call_later(SILENT, self.end)

    def end(self) -> None:
        """It is over."""
        if not self.dead:
            self.dead, self.ended = True, self.loop.time()
            if self.on_end is not None:
                self.on_end()

    def outlived(self, at: float) -> bool:
        """Whether what it heard at ``at`` must have been written down."""
        return not self.frail_disk and (self.ended is None or self.ended > at + DURABLE)
