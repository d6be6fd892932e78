"""What may become of one request on the wire: when it is done, whether the mail is taken, what is answered.

The answers are those of Graph, Exchange and networks (FACTS B2, D4); what they mean is not said here: the real tables of
the transports judge them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.simulation.chance import Chance

LATE: Final = 40.0
"""Seconds after its answer until which a 504'd request may still be done (FACTS B2)."""
SILENT: Final = 700.0
"""Longer than any attempt waits."""


@dataclass(frozen=True, slots=True)
class Http:
    """An answer of Graph, or of something before it (no code)."""

    status: int
    code: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unreached:
    """No connection: nothing was asked."""

    fault: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection ended after the request began; in SMTP at a stage."""

    fault: str
    stage: str = "the end of the content"


@dataclass(frozen=True, slots=True)
class Said:
    """A reply of SMTP that refuses, at a stage."""

    stage: str
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Took:
    """SMTP's 250 after the content."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is answered until somebody gives up."""


Answer = Http | Unreached | Broken | Said | Took | Silence


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Seconds: ``travel`` until the request is there, then ``after`` until its answer, ``work`` until the mail is taken."""

    name: str
    answer: Answer
    travel: float = 0.05
    after: float = 0.2
    work: float | None = None
    appears: float = 0.5
    """After the work: when the copy can be found."""
    drafted: float = 0.0
    """How long the copy then still says that it is a draft."""
    left_draft: bool = False
    """The mail is not taken, and a draft of it is left behind."""
    refused: int | None = None
    """SMTP's code for the first recipient at RCPT, where it is refused."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often a fate comes, beside the others, and how it is drawn."""

    kind: str
    weight: float
    make: Callable[[Chance], tuple[Answer, float, float | None]]
    """Answer, seconds to it, seconds to the work (None: never)."""


def _maybe(chance: Chance, after: float) -> float | None:
    """Nobody can know: done before the answer, done after it, or never."""
    return chance.one(after * 0.9, after + chance.between(1.0, LATE), None)


def _slow(answer: Answer, *, least: float = 1.0, most: float = 30.0) -> Callable[[Chance], tuple]:
    def make(chance: Chance) -> tuple[Answer, float, float | None]:
        after = chance.between(least, most)
        return answer, after, _maybe(chance, after)

    return make


def _certain(*answers: Answer) -> Callable[[Chance], tuple]:
    return lambda chance: (chance.one(*answers), chance.between(0.02, 0.5), None)


def _resting(status: int, code: str | None) -> Callable[[Chance], tuple]:
    def make(chance: Chance) -> tuple[Answer, float, float | None]:
        seconds = chance.one(None, 0.0, 1.0, 5.0, 30.0, 120.0)
        return Http(status, code, seconds), chance.between(0.02, 0.5), None

    return make


def _thanked(chance: Chance) -> tuple[Answer, float, float | None]:
    """Taken, and told to rest."""
    return Http(202, None, chance.between(1.0, 60.0)), 0.2, 0.1


def _lost_after(fault: str) -> Callable[[Chance], tuple]:
    def make(chance: Chance) -> tuple[Answer, float, float | None]:
        after = chance.between(0.05, 20.0)
        return Broken(fault), after, _maybe(chance, after)

    return make


def _silent(chance: Chance) -> tuple[Answer, float, float | None]:
    return Silence(), SILENT, chance.one(1.0, chance.between(1.0, 90.0), None)


FATES: Final[Mapping[str, Share]] = {
    # --- Graph
    "slowly taken": Share("graph", 1, lambda chance: (Http(202), chance.between(5, 50), 1.0)),
    "taken and told to rest": Share("graph", 0.5, _thanked),
    "unreached": Share(
        "graph", 1, _certain(*(Unreached(one) for one in ("dns", "refused", "connect_timeout", "tls")))
    ),
    "reset": Share("graph", 1, _lost_after("reset")),
    "closed": Share("graph", 1, _lost_after("closed")),
    "gateway timeout": Share("graph", 2, _slow(Http(504))),
    "bad gateway": Share("graph", 0.5, _slow(Http(502))),
    "server error": Share("graph", 0.5, _slow(Http(500, "ErrorInternalServerError"))),
    "slow 503": Share("graph", 0.5, _slow(Http(503, "ErrorServerBusy"), least=6.0)),
    "unknown 503": Share("graph", 0.5, _slow(Http(503, "UnknownError"), least=0.1, most=3.0)),
    "200": Share("graph", 0.3, _slow(Http(200), least=0.1, most=1.0)),
    "redirect": Share("graph", 0.2, _certain(Http(302))),
    "408": Share("graph", 0.3, _slow(Http(408))),
    "busy": Share("graph", 1, _resting(503, "ServiceUnavailable")),
    "throttled": Share("graph", 1, _resting(429, "ApplicationThrottled")),
    "too many at once": Share("graph", 0.5, _resting(503, "CommandConcurrencyLimitReached")),
    "refused message": Share("graph", 0.3, _certain(Http(400, "ErrorInvalidRecipients"))),
    "a proxy's 403": Share("graph", 0.1, _certain(Http(403))),
    "silent": Share("graph", 1, _silent),
    # --- SMTP
    "smtp slowly taken": Share("smtp", 1, lambda chance: (Took(), chance.between(5, 50), 1.0)),
    "smtp unreached": Share("smtp", 1, _certain(Unreached("refused"), Unreached("dns"))),
    "smtp closing": Share(
        "smtp", 1, _certain(Said("greeting", 421, "4.3.2 Service not available"), Said("MAIL FROM", 421, "4.4.2 bye"))
    ),
    "smtp lost before the content": Share("smtp", 1, _certain(Broken("closed", "MAIL FROM"), Broken("reset", "RCPT TO"))),
    "smtp lost after DATA": Share("smtp", 2, _lost_after("closed")),
    "smtp too many connections": Share(
        "smtp", 0.5, _certain(Said("MAIL FROM", 432, "4.3.2 Concurrent connections limit exceeded"))
    ),
    "smtp later": Share("smtp", 0.5, _certain(Said("the end of the content", 451, "4.7.0 Temporary server error"))),
    "smtp refused message": Share("smtp", 0.3, _certain(Said("the end of the content", 554, "5.6.0 Corrupt"))),
    "smtp silent": Share("smtp", 1, _silent),
}  # fmt: skip


def taken(kind: str, *, name: str = "taken", travel: float = 0.05, appears: float = 0.5) -> Fate:
    """Nothing goes wrong."""
    answer: Answer = Http(202) if kind == "graph" else Took()
    return Fate(name=name, answer=answer, travel=travel, work=0.1, appears=appears)


def fate_of(kind: str, fates: Mapping[str, Share], chance: Chance, *, storminess: float, slowest_copy: float) -> Fate:
    """What becomes of one request in this weather."""
    travel, appears = chance.often_short(2.0) + 0.01, chance.often_short(slowest_copy) + 0.05
    choices = [(name, share) for name, share in fates.items() if share.kind == kind]
    if not choices or not chance.happens(storminess):
        return taken(kind, travel=travel, appears=appears)
    (name, share), *_ = chance.choices(choices, [share.weight for _, share in choices])
    answer, after, work = share.make(chance)
    drafted = chance.between(1.0, 20.0) if chance.happens(0.1) else 0.0
    left_draft = kind == "graph" and work is None and after > 1.0 and chance.happens(0.2)
    refused = chance.one(550, 450) if kind == "smtp" and chance.happens(0.3) else None
    return Fate(
        name=name,
        answer=answer,
        travel=travel,
        after=after,
        work=work,
        appears=appears,
        drafted=drafted,
        left_draft=left_draft,
        refused=refused,
    )
