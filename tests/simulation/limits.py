"""What Microsoft counts, as its server sees it: requests at once, starts a minute, uploads, recipients a day, rests.

A request counts from when it arrives until it is answered or its connection ends.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from posthouse.continuity import RATE
from posthouse.message import Priority
from tests.simulation.fates import Http
from tests.simulation.plan import Climate

if TYPE_CHECKING:
    from tests.simulation.life import Life
    from tests.simulation.world import Call

MINUTE: Final = 60.0
UPLOADS: Final = 300.0
DAY: Final = 86_400.0
SMTP_CONNECTIONS: Final = 3
ROOM_FOR_HIGH: Final = 5
"""One in so many places, at least one of more than one, is kept for priority high (PROMISES §7)."""
EPSILON: Final = 0.003
"""Times travel as whole milliseconds."""
OF_MAILBOX: Final = frozenset({202, 429})
"""Answers whose Retry-After is meant for all requests of the mailbox."""

Key = tuple[str, str]


def kept(limit: int) -> int:
    """The places that are kept for priority high."""
    return max(1, limit // ROOM_FOR_HIGH) if limit > 1 else 0


@dataclass(slots=True)
class Rest:
    """A Retry-After that a life of the process heard; ``transport`` None: the whole mailbox; ``looks``: look-ups alone."""

    heard: float
    until: float
    life: "Life"
    transport: str | None
    looks: bool


class Sliding:
    """Weights of events by time."""

    def __init__(self) -> None:
        self._events: deque[tuple[float, int, Call | None]] = deque()

    def add(self, now: float, weight: int, *, window: float, call: "Call | None" = None) -> tuple[int, int]:
        """Count one more; how many events lie in the window now, and their weight.

        A request that was under way when its process was killed does not count: nobody can know when it arrived.
        """
        while self._events and self._events[0][0] <= now - window + EPSILON:
            self._events.popleft()
        self._events.append((now, weight, call))
        counted = [weight for _, weight, one in self._events if one is None or not one.cut_off()]
        return len(counted), sum(counted)


class Limits:
    """Watches all accounts; ``complain`` hears of each limit that was broken."""

    def __init__(self, climate: Climate, complain: Callable[[str, str], None]) -> None:
        self._climate = climate
        self._complain = complain
        self._calls: defaultdict[str, list[Call]] = defaultdict(list)
        self._rests: defaultdict[str, list[Rest]] = defaultdict(list)
        self.set_clock = False
        """Whether the wall clock was ever set: then a day may end an hour early by it, and own time runs a little quicker."""
        self.forget()

    def forget(self) -> None:
        """What the service cannot know any more: a copy was restored, or it was started with another time."""
        self._starts: defaultdict[Key, Sliding] = defaultdict(Sliding)
        self._senders: defaultdict[Key, Sliding] = defaultdict(Sliding)
        self._bytes: defaultdict[str, Sliding] = defaultdict(Sliding)
        self._days: defaultdict[str, Sliding] = defaultdict(Sliding)
        self._rests.clear()

    # --- what the server sees

    def arrived(self, call: "Call", now: float) -> None:
        """A request is there."""
        self._check_slots(call)
        if call.message is not None:
            self._check_pace(call, now)
            self._check_uploads(call, now)

    def took(self, call: "Call", now: float, *, recipients: int) -> None:
        """A mail was taken: its recipients count for the day."""
        climate = self._climate
        window = DAY - (2 * 3600.0 if self.set_clock else 0.0)
        for name, limit in ((call.account, climate.per_day), ("", climate.tenant_per_day)):
            _, total = self._days[name].add(now, recipients, window=window)
            if limit and total > limit:
                self._complain("day", f"{total} recipients in a day of {name or 'all'}, {limit} are allowed")

    def _window(self, seconds: float) -> float:
        """Seconds of the world that so many of the service's own are at least (``continuity.RATE``)."""
        return seconds * (1 - 1 / RATE) if self.set_clock else seconds

    def _check_slots(self, call: "Call") -> None:
        if call.cut_off():
            return  # it was under way when its process was killed
        calls = self._calls[call.account] = [one for one in self._calls[call.account] if one.busy()]
        calls.append(call)
        climate = self._climate
        most = climate.concurrent
        graph = sum(one.kind == "graph" for one in calls)
        if most and (len(calls) > most or graph > most):
            self._complain("concurrency", f"{len(calls)} requests at once for {call.account}, {most} are allowed")
        others = [one for one in calls if one.message is None or one.message.priority is not Priority.HIGH]
        if most and len(others) > most - kept(most):
            self._complain(
                "room", f"{len(others)} requests at once of {most} for {call.account}, and none of them is high"
            )
        for name in climate.smtp:
            if sum(one.transport == name for one in calls) > SMTP_CONNECTIONS:
                self._complain("concurrency", f"more than {SMTP_CONNECTIONS} connections of {call.account} by {name}")

    def _check_pace(self, call: "Call", now: float) -> None:
        climate, message = self._climate, call.message
        assert message is not None
        own = climate.own_pace.get(call.transport)
        limit = climate.per_minute if own is None else own
        pace = call.account, "" if own is None else call.transport
        if limit and (starts := self._starts[pace].add(now, 1, window=self._window(MINUTE), call=call)[0]) > limit:
            self._complain("pace", f"{starts} starts in 60 s for {pace}, {limit} are allowed")
        if climate.sender_pace and message.sender == climate.paced_sender:
            starts = self._senders[call.account, message.sender].add(now, 1, window=self._window(MINUTE), call=call)[0]
            if starts > climate.sender_pace:
                self._complain(
                    "pace", f"{starts} starts in 60 s as {message.sender}, {climate.sender_pace} are allowed"
                )

    def _check_uploads(self, call: "Call", now: float) -> None:
        limit, message = self._climate.uploads, call.message
        if not limit or call.kind != "graph" or message is None:
            return
        count, total = self._bytes[call.account].add(now, (message.size + 2) // 3 * 4, window=self._window(UPLOADS))
        if total > limit and count > 1:
            self._complain("uploads", f"{total} bytes in 5 minutes for {call.account}, {limit} are allowed")

    # --- what the service was told

    def answered(self, call: "Call", answer: object, now: float) -> None:
        """A life of the process hears an answer."""
        if not isinstance(answer, Http) or not answer.retry_after:
            return
        mailbox = answer.status in OF_MAILBOX or answer.code == "CommandConcurrencyLimitReached"
        looks = call.message is None and not mailbox
        rest = Rest(now, now + answer.retry_after, call.life, None if mailbox else call.transport, looks)
        self._rests[call.account].append(rest)

    def begins(self, call: "Call", now: float) -> None:
        """A request leaves the process: not before it may."""
        look = call.message is None
        for rest in self._rests[call.account]:
            if look and rest.transport is not None and not rest.looks:
                continue
            if not look and (rest.looks or (rest.transport is not None and rest.transport != call.transport)):
                continue
            known = rest.life is call.life or rest.life.outlived(rest.heard)
            until = rest.heard + self._window(rest.until - rest.heard)
            if known and rest.heard < call.began and now < until - EPSILON:
                what = "a look-up" if look else "a send"
                self._complain(
                    "retry_after", f"{what} of {call.account}, which was told to rest until {rest.until:.3f}"
                )
                return
