"""Whether mail flows, in one sentence that says what stands in its way, why, and what to do. Pure: time is an argument."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from posthouse.fixes import filled
from posthouse.lanes import PAUSED_BY_PERSON
from posthouse.message import Millis, Status
from posthouse.ports import Diagnosis, Spool
from posthouse.records import LaneRow, Past, TransportRow

STILL: Final[Millis] = 60_000
"""After so long without any attempt mail that is due is not on its way."""
NOBODY: Final = "nobody sends it; is a process with the role all or worker running (posthouse serve)?"
_STATES: Final = {"open": "down"}  # whoever does not know circuits takes an open one for a good one
HELD: Final = "posthouse messages list --status held says which, posthouse messages show ID says why"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that a verdict is made of: ``ready`` None where mail can be kept; ``pasts`` what the lanes used up lately."""

    now: Millis
    ready: str | None
    counts: Mapping[Status, int]
    lanes: Sequence[LaneRow]
    transports: Sequence[TransportRow]
    pasts: Mapping[int, Past] = field(default_factory=dict)

    @property
    def moving(self) -> bool:
        """Whether an attempt began lately."""
        starts = (start.at for past in self.pasts.values() for start in past.starts)
        return any(at is None or at > self.now - STILL for at in starts)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence, whether mail flows at all, and what else there is to know, the gravest first."""

    flows: bool
    sentence: str
    also: tuple[str, ...] = ()


async def standing_of(spool: Spool, *, now: Millis, ready: str | None, transports: Sequence[TransportRow]) -> Standing:
    """How everything stands now; raises SpoolUnavailableError."""
    lanes = await spool.lanes(now=now)
    pasts = await spool.past(lanes=[lane.lane for lane in lanes], now=now)
    return Standing(now=now, ready=ready, counts=await spool.counts(), lanes=lanes, transports=transports, pasts=pasts)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps lanes from sending, by one transport or by all; ``lasting``: until somebody does something."""

    reason: str
    transport: str | None
    lasting: bool


def obstacles(standing: Standing) -> Mapping[Obstacle, Sequence[str]]:
    """The accounts that do not send, by what stands in their way."""
    found: defaultdict[Obstacle, list[str]] = defaultdict(list)
    for row in standing.lanes:
        if row.told.paused:
            found[Obstacle(PAUSED_BY_PERSON, None, lasting=True)].append(row.account)
        for pause in row.pauses:
            if pause.blocked or pause.until > standing.now:
                found[Obstacle(pause.reason, pause.transport, pause.blocked)].append(row.account)
    return found


def nobody_sends(standing: Standing) -> bool:
    """Whether mail is due and nothing that we know of stands in its way, and yet it is not sent."""
    due = any(row.oldest_due_at is not None and row.oldest_due_at < standing.now - STILL for row in standing.lanes)
    shut = any(row.told.paused or row.state != "closed" for row in standing.transports)
    return due and not standing.moving and not shut and not obstacles(standing)


class _Weight(IntEnum):
    STOPPED = 0
    WAITS = 1
    HALF = 2
    REMARK = 3


_BEFORE: Final = {
    _Weight.STOPPED: "Mail is not taken: ",
    _Weight.WAITS: "Mail waits: ",
    _Weight.HALF: "Mail flows, but ",
    _Weight.REMARK: "Mail flows; ",
}


def judge(standing: Standing, diagnosis: Diagnosis) -> Verdict:
    """One sentence about the gravest of all that is wrong."""
    found = sorted(_problems(standing, diagnosis), key=lambda one: one[0])
    if not found:
        return Verdict(flows=True, sentence="Mail flows.")
    (weight, words), *rest = found
    also = tuple(f"{other[0].upper()}{other[1:]}" for _, other in rest)
    return Verdict(weight > _Weight.WAITS, f"{_BEFORE[weight]}{words}", also)


def _problems(standing: Standing, diagnosis: Diagnosis) -> Iterator[tuple[_Weight, str]]:
    if standing.ready is not None:
        yield _Weight.STOPPED, _ended(standing.ready)
    shut = [row for row in standing.transports if row.told.paused or row.state != "closed"]
    for row in shut:
        weight = _Weight.WAITS if len(shut) == len(standing.transports) else _Weight.HALF
        state = "paused" if row.told.paused else _STATES.get(row.state, row.state)
        reason = PAUSED_BY_PERSON if row.told.paused else row.reason
        words = {"name": row.name} if row.told.paused else {}  # elsewhere the name is that of an app in Entra ID
        yield weight, f"transport {row.name} is {state}, {_because(reason, diagnosis, words)}"
    yield from _stuck(standing, diagnosis)
    if nobody_sends(standing):
        yield _Weight.WAITS, NOBODY
    if held := standing.counts.get(Status.HELD, 0):
        yield _Weight.REMARK, f"{_many(held)} held; {HELD}."
    if doubtful := standing.counts.get(Status.UNCONFIRMED, 0):
        yield _Weight.REMARK, f"{_many(doubtful)} looked for, because nobody knows yet whether they were sent."


def _stuck(standing: Standing, diagnosis: Diagnosis) -> Iterator[tuple[_Weight, str]]:
    """The lanes that do not send, by what stands in their way."""
    waiting = {row.account for row in standing.lanes if row.waiting}
    for one, accounts in obstacles(standing).items():
        reason, transport, needs_somebody = one.reason, one.transport, one.lasting
        all_of_it = transport is None and waiting and waiting <= set(accounts)
        weight = _Weight.WAITS if all_of_it else _Weight.HALF if needs_somebody else _Weight.REMARK
        by = "" if transport is None else f" by {transport}"
        more = f" and {len(accounts) - 1} more" if len(accounts) > 1 else ""
        verb = "send" if more else "sends"
        why = _because(reason, diagnosis, {"mailbox": accounts[0]})
        yield weight, f"{accounts[0]}{more} {verb} nothing{by} now, {why}"


def _because(reason: str, diagnosis: Diagnosis, words: Mapping[str, str]) -> str:
    fix = diagnosis.fix(reason)
    if fix is None:
        return f"because of {reason}."
    remedy = filled(fix.remedy, words)
    if _prose(remedy):
        remedy = f"{remedy[0].lower()}{remedy[1:]}"
    return _ended(f"because {fix.cause}; {remedy}")


def _prose(remedy: str) -> bool:
    """Whether it begins with a word of ordinary English, not with a command or a name."""
    first = remedy.partition(" ")[0]
    return first.isalpha() and first[1:].islower()


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def _many(number: int) -> str:
    return f"{number:,} message is" if number == 1 else f"{number:,} messages are"
