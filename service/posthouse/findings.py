"""What the doctor found, step by step: a closed form that the command line, the API and reports show; pure."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from posthouse.fixes import FIXES, Kind, filled


class Result(StrEnum):
    """How a step ended; ``unknown``: nothing speaks against it, and nothing proves it."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong and what mends it; ``said``, ``code`` and ``request_id`` are the other side's, fit to be shown."""

    fix: str
    kind: Kind
    cause: str
    remedy: str
    said: str | None = None
    code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step: what was tried and why it matters, how it ended and after how many seconds.

    ``seen`` is what was found, ``because_of`` the failed step for which this one was skipped.
    """

    step: str
    mailbox: str | None
    tried: str
    why: str
    result: Result
    seconds: float
    seen: str = ""
    trouble: Trouble | None = None
    because_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to examine: one step or all of them, one sender or all (else the first that is known), a real message or none."""

    step: str | None = None
    sender: str | None = None
    every_sender: bool = False
    send_to: str | None = None


class UnknownStepError(Exception):
    """There is no such step; the text names those there are."""


Doctor = Callable[[Wish], AsyncGenerator[Finding]]
"""Examines step by step; raises UnknownStepError."""


NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def trouble(
    fix: str,
    *,
    names: Mapping[str, str] = NOTHING,
    said: str | None = None,
    code: str | None = None,
    request_id: str | None = None,
) -> Trouble:
    """The trouble that a key of ``fixes`` stands for; ``names`` is what its remedy says ``<…>`` of, as far as it is known."""
    known = FIXES[fix]
    return Trouble(
        fix=fix,
        kind=known.kind,
        cause=known.cause,
        remedy=filled(known.remedy, names),
        said=said,
        code=code,
        request_id=request_id,
    )


def first_failure(findings: Iterable[Finding]) -> Finding | None:
    """The failed step that decides: the first one."""
    return next((one for one in findings if one.result is Result.FAILED), None)


def verdict(findings: Iterable[Finding]) -> str:
    """One sentence for a person."""
    found = list(findings)
    failed = first_failure(found)
    if failed is None:
        open_ = [one.step for one in found if one.result is Result.UNKNOWN]
        return f"Nothing is wrong; not proved: {', '.join(dict.fromkeys(open_))}." if open_ else "Everything works."
    cause = failed.trouble.cause if failed.trouble is not None else failed.seen
    place = f"{failed.step} of {failed.mailbox}" if failed.mailbox else failed.step
    return f"{place} fails: {cause}."
