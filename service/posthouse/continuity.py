"""Whether the times that other processes wrote down can be measured by this one's clock: pure (PROMISES §5).

Absence of a copy is proof only late enough, and how late it is says a difference of two times: one that a process wrote
down, perhaps before it died, and that of now. Where the machine's clock was set in between, the difference is wrong. So
each process that writes such times leaves an anchor: how far its time is ahead of the clock that nobody can set
(``clock.boot_time``). One that starts on the same boot of the machine and is as far ahead goes on where that one was.
"""

from dataclasses import dataclass
from typing import Final

from posthouse.message import Millis

RATE: Final = 200
"""One part of so many by which the own time runs quicker or slower until it agrees with the wall clock (``clock``)."""
APART: Final[Millis] = 5_000
"""How far clocks that agree may seem apart: HTTP and Graph tell them in whole seconds, and an answer takes time to come."""
AGREES: Final[Millis] = 1_000
"""How far two processes' times may be apart: NTP slews by at most 500 ppm (ntp.org, "clock discipline"), so this is half an
hour of it without any process; a longer absence costs a process its inheritance, no more."""
NOTED: Final[Millis] = AGREES // 4
"""How far the time of a process wanders from its anchor before it is written down again."""


@dataclass(frozen=True, slots=True)
class OtherClock:
    """A clock elsewhere: what it ``shows`` when ours shows ``now``; None where nobody says it."""

    shows: Millis | None
    now: Millis

    def between(self, moment: Millis) -> tuple[Millis, Millis]:
        """The times between which our clock showed what that one showed as ``moment``, if nobody set either since.

        Where they are apart, ours may have been drawn since, away from that one or towards it.
        """
        ahead = 0 if self.shows is None else self.shows - self.now
        at = moment - ahead
        error = APART + min(abs(ahead), abs(self.now - at) // RATE)
        return at - error, at + error


@dataclass(frozen=True, slots=True)
class Anchor:
    """``boot`` names one run of the machine; time shows ``ahead`` more than the milliseconds since that began."""

    boot: str
    ahead: Millis


@dataclass(frozen=True, slots=True)
class Chain:
    """Processes of one boot whose times agree: how far they are ahead, and the time from which on that is so."""

    ahead: Millis
    since: Millis

    def begun(self, anchor: Anchor) -> Millis:
        """That time as the process of this anchor tells it."""
        return self.since - self.ahead + anchor.ahead


def joined(chain: Chain | None, anchor: Anchor, *, now: Millis) -> Chain:
    """The chain that a process belongs to from its start on: the one that stands, or one of its own."""
    if chain is None or abs(anchor.ahead - chain.ahead) > AGREES:
        return Chain(anchor.ahead, now)
    return Chain(anchor.ahead, chain.since)


def carried_on(chain: Chain | None, anchor: Anchor, *, before: Anchor, now: Millis) -> Chain:
    """What a process that runs makes of the chain; ``before`` is its anchor when it last did so.

    Its time is drawn towards the wall clock, and the chain goes with it. Where a later process has another time, this
    one still writes the old one down: so the later one's chain begins only now.
    """
    if chain is None:
        return Chain(anchor.ahead, now)
    if abs(before.ahead - chain.ahead) > AGREES:
        return Chain(chain.ahead, max(chain.since, now - anchor.ahead + chain.ahead))
    if abs(anchor.ahead - chain.ahead) <= NOTED:
        return chain
    return Chain(anchor.ahead, chain.since)
