"""Faults on demand: rules as data, the command line's short form of them, and which rule meets a request."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Literal

_HTTP_FAULT: Final = re.compile(r"(\d{3}|drop|reset|hang|slow)(-after-send)?|(\d{3}|drop|reset|hang)-late")
_SMTP_FAULT: Final = re.compile(r"([245]\d\d(?: .+)?|drop|reset|hang|slow)(-after-send)?")
_SHORT: Final = re.compile(
    r"(?P<target>\w+)=(?P<fault>[\w-]+)(?:@(?P<stage>[\w-]+))?(?::(?:(?P<percent>\d+(?:\.\d+)?)%|x(?P<times>\d+)))?"
)


class Target(StrEnum):
    """The part of Microsoft 365 that a fault is put on."""

    GRAPH = "graph"
    ENTRA = "entra"
    SMTP = "smtp"
    LOOKUP = "lookup"
    DRAFT = "draft"
    UPLOAD = "upload"
    SEND = "send"
    INBOX = "inbox"


class Stage(StrEnum):
    """The moment of an SMTP session, or the kind of request about a draft, in which a fault strikes."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    AFTER_DOT = "after-dot"
    ATTACHMENT = "attachment"
    SESSION = "session"
    RANGE = "range"
    FILES = "files"
    DELETE = "delete"


_UPLOADS: Final = frozenset({Stage.ATTACHMENT, Stage.SESSION, Stage.RANGE, Stage.FILES})
SMTP_STAGES: Final = tuple(stage for stage in Stage if stage not in _UPLOADS | {Stage.DELETE})
"""The moments of an SMTP session."""
_STAGES: Final = {
    Target.SMTP: frozenset(SMTP_STAGES),
    Target.UPLOAD: _UPLOADS,
    Target.DRAFT: frozenset({Stage.DELETE}),
    **dict.fromkeys((Target.GRAPH, Target.ENTRA, Target.LOOKUP, Target.SEND, Target.INBOX), frozenset()),
}
"""The stages of every target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault and whom it meets; raises ValueError where it makes no sense.

    ``fault`` is an HTTP status, an SMTP reply (``421`` or ``421 4.3.2 text``), ``drop`` (the connection is closed),
    ``reset`` (RST), ``hang`` (no answer) or ``slow``; with ``-after-send`` the mail is accepted first (dropping after
    that resets), with ``-late`` (HTTP) it is accepted ``seconds`` after the fault. It meets a ``share`` of the requests, or each ``every``-th, at most ``times`` of them, of one
    ``mailbox``, with ``match`` in a recipient or the subject. ``seconds`` is a delay before the answer,
    ``retry_after`` seconds or a date (None: 1 for 429, else no header; "": none at all), ``code`` Graph's error code
    or the number of an AADSTS code, ``body`` its form, ``stage`` when it strikes over SMTP or which request about a
    draft it meets (upload: attachment, session, range, files, which lists them; draft: delete).
    """

    target: Target
    fault: str
    share: float = 1.0
    times: int | None = None
    every: int | None = None
    mailbox: str | None = None
    match: str | None = None
    retry_after: float | str | None = None
    code: str | None = None
    body: Literal["json", "html", "empty"] | None = None
    seconds: float | None = None
    stage: Stage | None = None

    def __post_init__(self) -> None:
        pattern = _SMTP_FAULT if self.target is Target.SMTP else _HTTP_FAULT
        if pattern.fullmatch(self.fault) is None:
            raise ValueError(f"unknown fault {self.fault!r} for {self.target}")
        if (self.after_send or self.late) and self.target in {Target.ENTRA, Target.LOOKUP}:
            raise ValueError(f"{self.target} sends nothing: {self.fault!r}")
        if not 0.0 <= self.share <= 1.0 or (self.every is not None and self.every < 1):
            raise ValueError("share must be 0 to 1, every at least 1")
        if self.stage is not None and self.stage not in _STAGES[self.target]:
            raise ValueError(f"{self.target} has no stage {self.stage}")

    @property
    def after_send(self) -> bool:
        """Whether the mail is accepted before the fault."""
        return self.fault.endswith("-after-send")

    @property
    def late(self) -> bool:
        """Whether the mail is accepted some time after the fault: the work went on behind it (SDK §6)."""
        return self.fault.endswith("-late")

    @property
    def kind(self) -> str:
        """The fault without its suffix: a status, an SMTP reply, drop, reset, hang or slow."""
        return self.fault.removesuffix("-after-send").removesuffix("-late")

    @property
    def strikes_at(self) -> Stage:
        """The stage; where an SMTP rule names none, after the dot for what is accepted first, else at MAIL FROM."""
        return self.stage or (Stage.AFTER_DOT if self.after_send else Stage.MAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The request that a rule may meet; ``stage`` None outside of SMTP."""

    target: Target
    mailbox: str = ""
    recipients: tuple[str, ...] = ()
    subject: str = ""
    stage: Stage | None = None

    def fits(self, rule: Rule) -> bool:
        """Whether the rule is about such a request."""
        if rule.target is not self.target:
            return False
        of_smtp = self.target is Target.SMTP
        if self.stage is not None and (of_smtp or rule.stage) and rule.strikes_at is not self.stage:
            return False
        if rule.mailbox is not None and rule.mailbox.lower() != self.mailbox:
            return False
        if rule.match is None:
            return True
        wanted = rule.match.lower()
        return wanted in self.subject.lower() or any(wanted in one.lower() for one in self.recipients)


class Chaos:
    """The armed rules: the first that fits and whose share, turn and number of times allow it, strikes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._armed: list[_Armed] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order in which they are asked."""
        return tuple(armed.rule for armed in self._armed)

    @property
    def struck(self) -> tuple[int, ...]:
        """How often each rule has struck, in the same order."""
        return tuple(armed.struck for armed in self._armed)

    def arm(self, rules: Iterable[Rule]) -> None:
        """Replace all rules; their counts begin again."""
        self._armed = [_Armed(rule) for rule in rules]

    def pick(self, situation: Situation) -> Rule | None:
        """The rule that strikes now, or None."""
        for armed in self._armed:
            if situation.fits(armed.rule) and armed.strikes(self._random):
                return armed.rule
        return None

    def __bool__(self) -> bool:
        return bool(self._armed)


class _Armed:
    """A rule and how often it was met and struck."""

    __slots__ = ("rule", "seen", "struck")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen = 0
        self.struck = 0

    def strikes(self, random: Random) -> bool:
        rule = self.rule
        if rule.times is not None and self.struck >= rule.times:
            return False
        self.seen += 1
        if rule.every is not None and self.seen % rule.every:
            return False
        if rule.share < 1.0 and random.random() >= rule.share:
            return False
        self.struck += 1
        return True


def parse_chaos(text: str) -> tuple[Rule, ...]:
    """The rules of the short form ``graph=429:20%,smtp=421@connect:x3`` (CONTRACT section 5); raises ValueError."""
    return tuple(_short_rule(part.strip()) for part in text.split(",") if part.strip())


def _short_rule(part: str) -> Rule:
    found = _SHORT.fullmatch(part)
    if found is None:
        raise ValueError(f"not a fault: {part!r}; write for example graph=429:20% or smtp=421@connect:x3")
    stage, percent, times = found["stage"], found["percent"], found["times"]
    return Rule(
        target=Target(found["target"]),
        fault=found["fault"],
        share=float(percent) / 100 if percent else 1.0,
        times=int(times) if times else None,
        stage=Stage(stage) if stage else None,
    )
