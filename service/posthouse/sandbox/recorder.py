"""Counts what goes beyond Microsoft's limits as the server sees it, whether or not they are enforced (FACTS B1).

Nothing is answered otherwise because of it: a client's discipline can be judged here without Graph's help.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import unquote

from starlette.types import Message, Receive

from posthouse.sandbox.answers import Answer, Reply
from posthouse.sandbox.limits import CONCURRENT_REQUESTS, CONCURRENT_SMTP, PER_MINUTE, RECIPIENTS_PER_DAY

UPLOAD_BYTES: Final = 150_000_000
"""Bytes of request bodies in five minutes, per app and mailbox."""
ON_THE_WAY: Final = 1.0
"""Seconds after an answer with Retry-After in which requests may arrive that left before their client had read it."""
EXAMPLES: Final = 200
"""Violations that are remembered one by one."""
_MINUTE: Final = 60.0
_UPLOADS: Final = 300.0
_DAY: Final = 86_400.0
_SEND: Final = frozenset({"sendmail", "microsoft.graph.sendmail", "send"})

Kind = Literal["at_once", "starts", "early", "uploads", "recipients", "connections"]


@dataclass(frozen=True, slots=True)
class Example:
    """One violation: when (seconds since 1970), of what, by which app in which mailbox, and how far beyond."""

    at: float
    kind: Kind
    app: str
    mailbox: str
    detail: str


@dataclass(slots=True)
class Violations:
    """How often each limit was broken, and the latest examples.

    ``at_once``: requests beyond 4 under way of an app and mailbox. ``starts``: messages beyond 30 in any 60 s of a
    mailbox, over Graph and SMTP; a client whose limit is off breaks it rightly. ``early``: requests before a
    Retry-After was over that an earlier one of the same app and mailbox was told. ``uploads``: requests beyond 150 MB
    in 5 minutes. ``recipients``: messages beyond 10,000 recipients in 24 hours of a mailbox. ``connections``: SMTP
    sessions beyond 3 of a mailbox.
    """

    at_once: int = 0
    starts: int = 0
    early: int = 0
    uploads: int = 0
    recipients: int = 0
    connections: int = 0
    examples: deque[Example] = field(default_factory=lambda: deque(maxlen=EXAMPLES))

    @property
    def counts(self) -> dict[Kind, int]:
        """The numbers alone, by kind."""
        return {
            "at_once": self.at_once,
            "starts": self.starts,
            "early": self.early,
            "uploads": self.uploads,
            "recipients": self.recipients,
            "connections": self.connections,
        }

    def add(self, example: Example) -> None:
        """Count one."""
        setattr(self, example.kind, getattr(self, example.kind) + 1)
        self.examples.append(example)


class Visit:
    """One request about a mailbox, from its head until its answer is known; about something else it counts nothing."""

    __slots__ = ("_recorder", "app", "mailbox", "sends", "size")

    def __init__(self, recorder: "Recorder", *, app: str, mailbox: str | None, sends: bool) -> None:
        self._recorder = recorder
        self.app = app
        self.mailbox = mailbox
        self.sends = sends
        self.size = 0

    def counted(self, receive: Receive) -> Receive:
        """The same way to receive, which counts the bytes of the body."""

        async def counting() -> Message:
            message = await receive()
            self.size += len(message.get("body", b""))
            return message

        return counting

    def answered(self, reply: Reply) -> None:
        """What it was told."""
        if self.mailbox is None:
            return
        self._recorder.uploaded(self.app, self.mailbox, self.size)
        seconds = dict(reply.headers).get(b"retry-after") if isinstance(reply, Answer) else None
        if seconds is not None:
            self._recorder.told(self.app, self.mailbox, seconds.decode("latin-1"))


class Recorder:
    """Watches every request and message; ``clock`` gives seconds since 1970."""

    def __init__(self, violations: Violations, clock: Callable[[], float]) -> None:
        self._violations = violations
        self._clock = clock
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._starts: dict[str, deque[float]] = {}
        self._rests: dict[tuple[str, str], _Rest] = {}
        self._uploads: dict[tuple[str, str], _Sliding] = {}
        self._recipients: dict[str, _Sliding] = {}

    @contextmanager
    def visit(self, method: str, raw_path: bytes, app: str) -> Generator[Visit]:
        """A request with this path is under way as long as the context lasts."""
        mailbox, sends = _meant(method, raw_path)
        visit = Visit(self, app=app, mailbox=mailbox, sends=sends)
        if mailbox is None:
            yield visit
            return
        key = (app, mailbox)
        self._under_way[key] += 1
        try:
            self._began(visit, mailbox)
            yield visit
        finally:
            self._under_way[key] -= 1

    def _began(self, visit: Visit, mailbox: str) -> None:
        now, key = self._clock(), (visit.app, mailbox)
        count = self._under_way[key]
        if count > CONCURRENT_REQUESTS:
            self._broken("at_once", visit.app, mailbox, f"{count} under way")
        rest = self._rests.get(key)
        if rest is not None and rest.forbids(now):
            self._broken("early", visit.app, mailbox, f"{rest.until - now:.3f} s before Retry-After was over")
        if visit.sends:
            self.message(mailbox, app=visit.app)

    def message(self, mailbox: str, *, app: str = "") -> None:
        """A message of this mailbox begins."""
        now = self._clock()
        times = self._starts.setdefault(mailbox, deque(maxlen=PER_MINUTE))
        if len(times) == PER_MINUTE and times[0] > now - _MINUTE:
            self._broken("starts", app, mailbox, f"{PER_MINUTE + 1} in {now - times[0]:.3f} s")
        times.append(now)

    def connected(self, mailbox: str, count: int) -> None:
        """An SMTP session logged in; there are so many of this mailbox with it."""
        if count > CONCURRENT_SMTP:
            self._broken("connections", "", mailbox, f"{count} sessions")

    def accepted(self, mailbox: str, *, recipients: int) -> None:
        """A message to so many recipients was taken."""
        day = self._recipients.setdefault(mailbox, _Sliding(_DAY, step=60.0))
        used = day.add(self._clock(), recipients)
        if used > RECIPIENTS_PER_DAY:
            self._broken("recipients", "", mailbox, f"{used} in a day")

    def uploaded(self, app: str, mailbox: str, size: int) -> None:
        """A request of so many bytes was read."""
        if size:
            used = self._uploads.setdefault((app, mailbox), _Sliding(_UPLOADS, step=1.0)).add(self._clock(), size)
            if used > UPLOAD_BYTES:
                self._broken("uploads", app, mailbox, f"{used} bytes in 5 minutes")

    def told(self, app: str, mailbox: str, retry_after: str) -> None:
        """An answer with this Retry-After, in seconds or as a date, leaves now."""
        now = self._clock()
        until = _until(retry_after, now)
        rest = self._rests.get((app, mailbox))
        if rest is None or rest.until <= now:
            self._rests[app, mailbox] = _Rest(until, now)
        elif until > rest.until:
            rest.until, rest.told_at = until, now

    def _broken(self, kind: Kind, app: str, mailbox: str, detail: str) -> None:
        self._violations.add(Example(self._clock(), kind, app, mailbox, detail))


@dataclass(slots=True)
class _Rest:
    """Until when nothing should come, when that was last said, and how many came that were on the way."""

    until: float
    told_at: float
    forgiven: int = 0

    def forbids(self, now: float) -> bool:
        """Whether a request that arrives now breaks it; as many as may be under way beside the one that was told are not."""
        if now >= self.until:
            return False
        if now - self.told_at <= ON_THE_WAY and self.forgiven < CONCURRENT_REQUESTS - 1:
            self.forgiven += 1
            return False
        return True


class _Sliding:
    """A sum over a sliding window, kept in steps: each counts from its beginning, so never a moment too long."""

    def __init__(self, window: float, *, step: float) -> None:
        self._window = window
        self._step = step
        self._parts: deque[list[float]] = deque()
        self._sum = 0

    def add(self, now: float, count: int) -> int:
        """Add so many; the sum with them."""
        step = now // self._step * self._step
        while self._parts and self._parts[0][0] <= now - self._window:
            self._sum -= int(self._parts.popleft()[1])
        if self._parts and self._parts[-1][0] == step:
            self._parts[-1][1] += count
        else:
            self._parts.append([step, count])
        self._sum += count
        return self._sum


def _meant(method: str, raw_path: bytes) -> tuple[str | None, bool]:
    """The mailbox that a path of Graph is about (None: no such path), and whether the request sends a message."""
    match raw_path.decode("ascii", "replace").split("/")[1:]:
        case ["v1.0" | "beta", "users", user, *rest]:
            return unquote(user).lower(), method == "POST" and bool(rest) and rest[-1].lower() in _SEND
    return None, False


def _until(retry_after: str, now: float) -> float:
    """When a Retry-After (RFC 9110 section 10.2.3) is over; at once where it is neither a number nor a date."""
    try:
        return now + float(retry_after)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(retry_after).timestamp()
    except ValueError:
        return now
