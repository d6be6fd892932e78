"""How fast a client may submit: windows of a minute and of a day over what it submitted (CONTRACT §3); pure.

This process knows its own submissions to the millisecond, those of other processes by the minute.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from posthouse.identities import Use
from posthouse.message import Millis
from posthouse.policy import Terms
from posthouse.refusal import Allowance, Condition, Refused

MINUTE: Final[Millis] = 60_000
DAY_MINUTES: Final = 1440


class _Window:
    """What one client submitted lately, in order, with the places in the future that delayed messages were given."""

    def __init__(self) -> None:
        self.recent: deque[Millis] = deque()
        self.minutes: Counter[int] = Counter()
        self.others: Mapping[int, int] = {}

    def forget(self, now: Millis) -> None:
        while self.recent and self.recent[0] <= now - MINUTE:
            self.recent.popleft()
        if len(self.minutes) > DAY_MINUTES + 1:
            oldest = now // MINUTE - DAY_MINUTES
            self.minutes = Counter({minute: count for minute, count in self.minutes.items() if minute > oldest})

    def in_minute(self, at: Millis) -> int:
        """Submissions of the minute that ends at ``at``; of others, those of the calendar minutes that it touches."""
        touched = range((at - MINUTE) // MINUTE + 1, at // MINUTE + 1)
        own = bisect_right(self.recent, at) - bisect_right(self.recent, at - MINUTE)
        return own + sum(self.others.get(minute, 0) for minute in touched)

    def in_day(self, at: Millis) -> int:
        """Submissions of the day that ends at ``at``, to the minute."""
        days = ((minute, count) for counts in (self.minutes, self.others) for minute, count in counts.items())
        return sum(count for minute, count in days if at // MINUTE - DAY_MINUTES < minute <= at // MINUTE)

    def free_at(self, terms: Terms, count: int, now: Millis) -> Millis:
        """When so many more fit, not before those that were given a place already."""
        at, later = -1, max(now, self.recent[-1]) if self.recent else now
        while later > at:
            at = later
            later = max(
                self.minute_free(terms.rate_per_minute, count, at), self.day_free(terms.rate_per_day, count, at)
            )
        return at

    def minute_free(self, limit: int, count: int, at: Millis) -> Millis:
        """``at``, or the next moment at which the minute's window holds fewer."""
        if not limit or self.in_minute(at) + count <= limit:
            return at
        first = bisect_right(self.recent, at - MINUTE)
        return self.recent[first] + MINUTE if first < len(self.recent) else (at // MINUTE + 1) * MINUTE

    def day_free(self, limit: int, count: int, at: Millis) -> Millis:
        """The same for the day's."""
        if not limit or self.in_day(at) + count <= limit:
            return at
        since = at // MINUTE - DAY_MINUTES
        used = (minute for counts in (self.minutes, self.others) for minute, some in counts.items() if some)
        return (min(minute for minute in used if minute > since) + DAY_MINUTES) * MINUTE


class Rates:
    """The windows of all clients that have a rate."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._told: set[Use] = set()

    def take(self, client: str, terms: Terms, *, count: int, now: Millis) -> Millis:
        """Take room for so many messages; when they may go. Raises Refused(QUOTA_EXCEEDED)."""
        if not terms.rates:
            return now
        window = self._windows.setdefault(client, _Window())
        window.forget(now)
        if count > min(terms.rates):
            detail = f"{count} messages at once are more than the rate of client {client!r}: {_spoken(terms)}"
            raise Refused(Condition.QUOTA_EXCEEDED, detail, allowance=self.left(client, terms, now=now))
        at = window.free_at(terms, count, now)
        if at > now and terms.over_rate != "delay":
            wait = -(-(at - now) // 1000)
            detail = f"client {client!r} has a rate of {_spoken(terms)}; the next fits in {wait} s"
            allowance = self.left(client, terms, now=now)
            raise Refused(Condition.QUOTA_EXCEEDED, detail, retry_after=wait, allowance=allowance)
        window.recent.extend([at] * count)
        window.minutes[at // MINUTE] += count
        return at

    def give_back(self, client: str, *, count: int, at: Millis) -> None:
        """Nothing was submitted after all."""
        window = self._windows.get(client)
        if window is None:
            return
        for _ in range(min(count, window.recent.count(at))):
            window.recent.remove(at)
        window.minutes[at // MINUTE] = max(0, window.minutes[at // MINUTE] - count)

    def left(self, client: str, terms: Terms, *, now: Millis) -> tuple[Allowance, ...]:
        """What is left of each rate."""
        window = self._windows.get(client) or _Window()
        found: list[Allowance] = []
        for name, quota, seconds, used, free in (
            ("minute", terms.rate_per_minute, 60, window.in_minute, window.minute_free),
            ("day", terms.rate_per_day, 86_400, window.in_day, window.day_free),
        ):
            if quota:
                reset = -(-(free(quota, 1, now) - now) // 1000)
                remaining = max(0, quota - used(now))
                found.append(Allowance(name=name, quota=quota, window=seconds, remaining=remaining, reset=reset))
        return tuple(found)

    def news(self) -> Sequence[Use]:
        """What this process took and did not tell yet; for other processes and the next start."""
        return tuple(self._now() - self._told)

    def told(self, uses: Iterable[Use]) -> None:
        """This is written down."""
        self._told = (self._told & self._now()) | set(uses)

    def learn(self, uses: Iterable[Use]) -> None:
        """What other processes took, and this one before it was started anew."""
        found: dict[str, dict[int, int]] = {}
        for use in uses:
            found.setdefault(use.client, {})[use.minute] = use.messages
        for client in {*found, *self._windows}:
            self._windows.setdefault(client, _Window()).others = found.get(client, {})

    def _now(self) -> set[Use]:
        counts = ((client, window.minutes) for client, window in self._windows.items())
        return {Use(client, minute, count) for client, minutes in counts for minute, count in minutes.items()}


def _spoken(terms: Terms) -> str:
    rates = ((terms.rate_per_minute, "a minute"), (terms.rate_per_day, "a day"))
    return " and ".join(f"{limit} {unit}" for limit, unit in rates if limit)
