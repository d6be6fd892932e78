"""What a storm is made of, and what was counted of it at both ends: mails, violations of limits, events."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.world import World
from tests.system.harness import FINAL

ILL = (
    Rule(target=Target.GRAPH, fault="504-after-send", share=0.05),
    Rule(target=Target.GRAPH, fault="drop-after-send", share=0.05),
    Rule(target=Target.GRAPH, fault="429", share=0.10),
)
AT_REST = FINAL | {"settled", "held"}
STARTS = "starts"
"""The kind of violation that is right where the limit of the minute is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What a storm is made of.

    ``kill_every`` 0 means that nobody is killed, ``kills`` None that there is no end to it; ``per_minute`` 0 that the
    minute has no limit, else the other side enforces Microsoft's limits.
    """

    messages: int = 10_000
    mailboxes: int = 40
    faults: tuple[Rule, ...] = ILL
    appear_after: float = 3.0
    latency: float = 0.2
    kill_every: float = 5.0
    kills: int | None = None
    per_minute: int = 0
    attempt_timeout: str = "5s"
    settle_checks: tuple[str, ...] = ("2s", "6s", "12s")
    workers: int = 3
    seconds: float = 1_500.0
    """How long it may take."""

    @property
    def senders(self) -> tuple[str, ...]:
        """The mailboxes."""
        return tuple(f"app{number}@contoso.example" for number in range(self.mailboxes))


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL: the requests under way at that moment as the other side saw them, the violations counted until then."""

    in_flight: int
    violations: Mapping[str, int]


@dataclass(slots=True)
class Tally:
    """What came of it.

    ``read`` are the events as the reader got them, position and type by message; ``written`` their positions in the
    order in which the spool wrote them.
    """

    weather: Weather
    seconds: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    read: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    written: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    at_once: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    examples: Sequence[str] = ()

    @property
    def lost(self) -> int:
        """Messages that were accepted and never arrived."""
        return self.weather.messages - len(self.received)

    @property
    def doubled(self) -> int:
        """Copies beyond the first."""
        return sum(count - 1 for count in self.received.values())

    @property
    def held(self) -> int:
        """Messages that wait for a person."""
        return self.statuses["held"]

    @property
    def in_order(self) -> bool:
        """The reader got every event once, each message's in the order of writing, from its acceptance to its end."""
        read = {message: [position for position, _ in events] for message, events in self.read.items()}
        kinds = [[kind.removeprefix("message.") for _, kind in events] for events in self.read.values()]
        whole = all(one[0] == "accepted" and not AT_REST.isdisjoint(one) for one in kinds)
        return whole and read == dict(self.written)

    @property
    def after_kills(self) -> list[tuple[int, int]]:
        """For each kill the requests under way at that moment, and the violations until the next kill or the end."""
        counted = [*(sum(kill.violations.values()) for kill in self.kills), sum(self.violations.values())]
        return [
            (kill.in_flight, after - before)
            for kill, (before, after) in zip(self.kills, itertools.pairwise(counted), strict=True)
        ]

    @property
    def too_many(self) -> int:
        """Violations that no kill excuses: those before the first one, and those beyond what it found under way."""
        first = self.kills[0].violations if self.kills else self.violations
        return sum(first.values()) + sum(max(0, found - under_way) for under_way, found in self.after_kills)

    def count(self, world: World) -> dict[str, int]:
        """The violations of limits until now, by kind, but for a limit that is off."""
        counts = world.violations.counts
        return {kind: counts[kind] for kind in counts if kind != STARTS or self.weather.per_minute}

    @property
    def kept(self) -> bool:
        """Whether everything is as promised."""
        return not (self.lost or self.doubled or self.held or self.too_many) and self.in_order

    @property
    def told(self) -> str:
        """Some lines."""
        weather, pairs = self.weather, self.after_kills
        read, written = (sum(map(len, one.values())) for one in (self.read, self.written))
        held = f"{self.held} {dict(self.causes)}" if self.held else "0"
        what = f"{weather.messages} messages of {weather.mailboxes} mailboxes, {self.seconds:.0f} s"
        lines = [
            f"{what}, {len(self.kills)} SIGKILLs: lost {self.lost}, doubled {self.doubled}, held {held}; {dict(self.statuses)}",
            f"events: {read} read of {written}, {'each once and in order' if self.in_order else 'WRONG'}",
            f"violations: {self.violations}; at most {self.at_once} requests at once of a mailbox",
            *self.examples,
        ]
        if pairs:
            lines.append(
                f"violations after kills: {sum(found for _, found in pairs)}, with {sum(one for one, _ in pairs)} requests"
                f" under way at the kills; kill by kill, where there were any: "
                f"{[f'{found} with {one} under way' for one, found in pairs if found]}"
            )
        lines.append(f"violations that no kill excuses: {self.too_many}")
        return "\n  ".join(lines)


def examples(world: World, kinds: Mapping[str, int]) -> list[str]:
    """The latest violations of these kinds, in words."""
    found = [one for one in world.violations.examples if kinds.get(one.kind)]
    return [f"{one.at:.3f} {one.kind} {one.mailbox}: {one.detail}" for one in found[-20:]]
