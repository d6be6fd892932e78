"""Exchange Online's published limits, counted always and enforced when told to (FACTS B1)."""

from collections import Counter, deque
from typing import Final

MAX_REQUEST: Final = 4 * 1024 * 1024  # bytes of a Graph request, FACTS 0.4
MAX_SMTP: Final = 157_286_400  # bytes, the SIZE that smtp.office365.com offers, FACTS D1
MAX_POSTED_FILE: Final = 3_145_611  # bytes of a file in one request, FACTS 0.4
MIN_SESSION: Final = 3_000_000  # bytes of the smallest file for an upload session, FACTS A6
MAX_FILE: Final = 157_286_400  # bytes of the largest one: 150 MB, FACTS A6
MAX_RANGE: Final = 4 * 1024 * 1024  # bytes that one range stays below, FACTS A6
CONCURRENT_REQUESTS: Final = 4  # per app and mailbox
CONCURRENT_SMTP: Final = 3  # connections per mailbox
PER_MINUTE: Final = 30  # messages of one mailbox
RECIPIENTS_PER_DAY: Final = 10_000
_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


class Gauge:
    """How many are under way for each mailbox now, and the most there ever were."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    def enter(self, mailbox: str) -> int:
        """One more; gives how many there are with it."""
        count = self.now[mailbox] + 1
        self.now[mailbox] = count
        self.peak[mailbox] = max(self.peak[mailbox], count)
        return count

    def leave(self, mailbox: str) -> None:
        """One less."""
        self.now[mailbox] -= 1


class Budget:
    """What the mailboxes sent in the last minute and the last 24 hours, both sliding."""

    def __init__(self) -> None:
        self._minute: dict[str, deque[float]] = {}
        self._day: dict[str, deque[tuple[float, int]]] = {}

    def wait(self, mailbox: str, now: float) -> float | None:
        """Seconds until the mailbox may send again, None where it may now."""
        times = self._minute.get(mailbox)
        while times and times[0] <= now - _MINUTE:
            times.popleft()
        return times[0] + _MINUTE - now if times and len(times) >= PER_MINUTE else None

    def exhausted(self, mailbox: str, now: float, *, recipients: int) -> bool:
        """Whether so many recipients more go beyond the mailbox's day."""
        sent = self._day.get(mailbox)
        while sent and sent[0][0] <= now - _DAY:
            sent.popleft()
        return sum(count for _, count in sent or ()) + recipients > RECIPIENTS_PER_DAY

    def spend(self, mailbox: str, now: float, *, recipients: int) -> None:
        """Count one message to so many recipients."""
        self._minute.setdefault(mailbox, deque()).append(now)
        self._day.setdefault(mailbox, deque()).append((now, recipients))
