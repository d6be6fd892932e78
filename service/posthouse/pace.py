"""What one account used up lately: starts a minute, bytes in five minutes, recipients a day. Pure: time is an argument.

Exchange counts 30 messages a minute and 10,000 recipients in 24 sliding hours for each mailbox, Graph 150 MB of
upload in 5 minutes for each app and mailbox (FACTS B1). A request reaches the server at some moment between its start
and its answer, so what is under way counts, and what has ended counts from its end: then no sliding window *of the
server* holds more than the limit, however slow the network was. Times that lie in the future, because the clock was
set back, count as now: a clock never opens a window.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from posthouse.message import Millis

NEVER: Final[Millis] = 1 << 62
WINDOW: Final[Millis] = 60_000
UPLOAD_WINDOW: Final[Millis] = 300_000
HOUR: Final[Millis] = 3_600_000
DAY_HOURS: Final = 24


def kept(limit: int) -> int:
    """How much of a limit is kept for priority high: a fifth, at least one of more than one (PROMISES §7)."""
    return max(1, limit // 5) if limit > 1 else 0


class Pace:
    """A sliding minute over attempts, with room kept for priority high.

    All of the limit is for everybody in a burst that begins when nothing lies in the window and nobody had to wait
    during the last minute: the first 30 of a quiet minute leave at once. Afterwards others than high have the limit
    without what is kept. ``keep`` false keeps nothing.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._ended: deque[Millis] = deque()
        self._others: deque[Millis] = deque()
        self._under_way = 0
        self._others_under_way = 0
        self._burst_ends: Millis = 0
        self._pressed_until: Millis = 0

    def next_at(self, now: Millis, *, per_minute: int, high: bool) -> Millis:
        """When one more may start: ``now``, later, or NEVER (until something ends); 0 a minute means no limit."""
        if not per_minute:
            return now
        self._forget(now)
        at = _free_at(self._ended, self._under_way, per_minute, now)
        if not high and (at > now or now >= self._burst_ends):
            room = per_minute - (kept(per_minute) if self._keep else 0)
            at = max(at, _free_at(self._others, self._others_under_way, room, now))
        if at > now:
            self._pressed_until = max(self._pressed_until, (now if at >= NEVER else at) + WINDOW)
        return at

    def used(self, now: Millis) -> int:
        """How many count now."""
        self._forget(now)
        return self._under_way + len(self._ended)

    def start(self, now: Millis, *, high: bool) -> None:
        """Take a place."""
        self._forget(now)
        if not self._under_way and not self._ended and now >= self._pressed_until:
            self._burst_ends = now + WINDOW
        self._under_way += 1
        self._others_under_way += not high

    def end(self, now: Millis, *, high: bool) -> None:
        """The answer is there: the place falls free in a minute."""
        self.cancel(high=high)
        self._forget(now)
        self._ended.append(now)
        if not high:
            self._others.append(now)

    def cancel(self, *, high: bool) -> None:
        """Nothing was sent: the place falls free at once."""
        self._under_way -= 1
        self._others_under_way -= not high

    def learn(self, ended: Iterable[tuple[Millis, bool]], now: Millis) -> None:
        """Begin with what a former owner did: when each ended, and whether it was of priority high."""
        known = sorted((min(at, now), high) for at, high in ended)
        self._ended = deque(at for at, _ in known)
        self._others = deque(at for at, high in known if not high)

    def _forget(self, now: Millis) -> None:
        for times in (self._ended, self._others):
            while times and times[0] <= now - WINDOW:
                times.popleft()
            ahead = 0
            while times and times[-1] > now:
                times.pop()
                ahead += 1
            times.extend([now] * ahead)
        self._burst_ends = min(self._burst_ends, now + WINDOW)
        self._pressed_until = min(self._pressed_until, now + 2 * WINDOW)


def _free_at(ended: deque[Millis], under_way: int, room: int, now: Millis) -> Millis:
    """When fewer than ``room`` count."""
    too_many = under_way + len(ended) - room + 1
    if too_many <= 0:
        return now
    return ended[too_many - 1] + WINDOW if too_many <= len(ended) else NEVER


class Volume:
    """Five sliding minutes of uploaded bytes; one upload that is larger than the limit goes when nothing else counts."""

    def __init__(self) -> None:
        self._ended: deque[tuple[Millis, int]] = deque()
        self._sum = 0
        self._under_way = 0

    def next_at(self, now: Millis, *, limit: int, size: int) -> Millis:
        """When so many bytes more are within the limit: ``now``, later, or NEVER (until something ends); 0: no limit."""
        if not limit or self._fits(used := self.used(now), limit, size):
            return now
        for at, part in self._ended:
            used -= part
            if self._fits(used, limit, size):
                return at + UPLOAD_WINDOW
        return NEVER

    def used(self, now: Millis) -> int:
        """How many bytes count now."""
        while self._ended and self._ended[0][0] <= now - UPLOAD_WINDOW:
            self._sum -= self._ended.popleft()[1]
        if self._ended and self._ended[-1][0] > now:
            self._ended = deque((min(at, now), size) for at, size in self._ended)
        return self._sum + self._under_way

    def start(self, size: int) -> None:
        """An upload begins."""
        self._under_way += size

    def end(self, now: Millis, size: int) -> None:
        """It is over: its bytes count for five minutes more."""
        self._under_way -= size
        self._add(now, size)

    def cancel(self, size: int) -> None:
        """It never began."""
        self._under_way -= size

    def learn(self, ended: Iterable[tuple[Millis, int]], now: Millis) -> None:
        """Begin with what a former owner did: when uploads ended, and their bytes."""
        self._ended.clear()
        self._sum = 0
        for at, size in sorted(ended):
            self._add(min(at, now), size)

    def _add(self, at: Millis, size: int) -> None:
        self.used(at)
        if size:
            self._ended.append((at, size))
            self._sum += size

    @staticmethod
    def _fits(used: int, limit: int, size: int) -> bool:
        return not used or used + size <= limit


class Day:
    """Twenty-four sliding hours of recipients, in buckets of an hour: one counts until its end is a day old."""

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}

    def room_at(self, now: Millis, *, limit: int, recipients: int) -> Millis:
        """When so many recipients more are within the limit, ``now`` where they are already; 0 means no limit.

        More than the limit alone go when nothing else counts: a lower limit must not keep what was accepted for ever.
        """
        used = self.used(now)
        if not limit or not used or used + recipients <= limit:
            return now
        for hour in sorted(self._hours):
            used -= self._hours[hour]
            if not used or used + recipients <= limit:
                return _bucket_ends(hour)
        return now

    def used(self, now: Millis) -> int:
        """How many recipients count now."""
        current = now // HOUR
        for hour in [hour for hour in self._hours if _bucket_ends(hour) <= now or hour > current]:
            count = self._hours.pop(hour)
            if hour > current:
                self._hours[current] = self._hours.get(current, 0) + count
        return sum(self._hours.values())

    def take(self, now: Millis, recipients: int) -> None:
        """Count recipients."""
        hour = now // HOUR
        self._hours[hour] = self._hours.get(hour, 0) + recipients

    def give_back(self, at: Millis, recipients: int) -> None:
        """What was counted at ``at`` was certainly not sent."""
        hour = at // HOUR
        left = self._hours.get(hour, 0) - recipients
        if left > 0:
            self._hours[hour] = left
        else:
            self._hours.pop(hour, None)

    def learn(self, hours: Iterable[tuple[int, int]]) -> None:
        """Begin with what was written down: hours since 1970 and their recipients."""
        self._hours = {hour: count for hour, count in hours if count > 0}

    def merge(self, hours: Iterable[tuple[int, int]], now: Millis) -> None:
        """Take what all workers wrote down; of this hour not less than is known here, where some is not written yet."""
        current = now // HOUR
        own = self._hours.get(current, 0)
        self.learn(hours)
        if own > self._hours.get(current, 0):
            self._hours[current] = own


def _bucket_ends(hour: int) -> Millis:
    return (hour + 1 + DAY_HOURS) * HOUR
