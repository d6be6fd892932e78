"""How many requests one Entra app has under way at once, over all its mailboxes; finds the limit itself. Pure.

Microsoft's documents disagree whether 4 requests at once are meant for an app or for an app and each mailbox (FACTS
0.5), and tenants differ. So the ceiling begins at 16, what four busy mailboxes use; rises by one after as many
successes as it is high, and only while more than half of it is used (additive increase, as TCP does); halves when the
app is throttled in two lanes within 10 s (one lane alone is that mailbox's own limit, which its slots keep); never
falls below 4, the stricter reading, nor rises above 64, the connections of a transport. After a halving answers to
requests that left before it say nothing new: for 10 s it does not halve again.
"""

from collections.abc import Callable
from typing import Final

from posthouse.message import Millis

FIRST: Final = 16
LEAST: Final = 4
MOST: Final = 64
SEVERAL: Final = 2
"""Lanes that must be throttled before the app is."""
WITHIN: Final[Millis] = 10_000
"""Milliseconds in which they must be, and for which a halving stands."""

THROTTLING: Final = frozenset(
    {"ApplicationThrottled", "CommandConcurrencyLimitReached", "ErrorDirectoryConcurrencyLimit"}
)
"""Codes of Graph that speak of too many requests at once (FACTS B2)."""


class Ceiling:
    """The ceiling of one app in this process; those who found no room are called in the order in which they came."""

    def __init__(self) -> None:
        self.limit = FIRST
        self.under_way = 0
        self._successes = 0
        self._throttled: dict[str, Millis] = {}
        self._rests_until: Millis = 0
        self._waiting: dict[Callable[[], None], None] = {}

    @property
    def free(self) -> bool:
        """Whether one more may start."""
        return self.under_way < self.limit

    def start(self) -> None:
        """A request starts."""
        self.under_way += 1

    def end(self) -> None:
        """It is over; who waits longest is called."""
        self.under_way -= 1
        self.offer()

    def succeeded(self) -> None:
        """It was answered as it should be."""
        if self.limit < MOST and self.under_way * 2 > self.limit:
            self._successes += 1
            if self._successes >= self.limit:
                self.limit += 1
                self._successes = 0

    def throttled(self, now: Millis, account: str) -> bool:
        """A lane was told that there are too many requests; True where the ceiling fell."""
        if now < self._rests_until <= now + WITHIN:
            return False
        self._throttled = {one: at for one, at in self._throttled.items() if now - WITHIN < at <= now}
        self._throttled[account] = now
        if len(self._throttled) < SEVERAL or self.limit == LEAST:
            return False
        self.limit = max(LEAST, self.limit // 2)
        self._successes = 0
        self._rests_until = now + WITHIN
        self._throttled.clear()
        return True

    def wait(self, call: Callable[[], None]) -> None:
        """Call when there is room; who asks again keeps the place."""
        self._waiting.setdefault(call, None)

    def leave(self, call: Callable[[], None]) -> None:
        """Wait no more."""
        self._waiting.pop(call, None)

    def offer(self) -> None:
        """Call the first who waits where there is room; it calls this again when it took what it wants."""
        if self.free and self._waiting:
            call = next(iter(self._waiting))
            del self._waiting[call]
            call()
