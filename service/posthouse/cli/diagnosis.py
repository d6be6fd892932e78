"""How a diagnosis is shown: lines for a person, a report without addresses for a ticket, and the exit code it means."""

import platform
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypedDict

from posthouse.cli.exits import Code
from posthouse.cli.output import clean
from posthouse.telemetry import masked

Trouble = TypedDict(
    "Trouble",
    {
        "key": str,
        "class": str,
        "cause": str,
        "fix": str,
        "text": str | None,
        "code": str | None,
        "request_id": str | None,
    },
)
"""What is wrong and what mends it."""


class Step(TypedDict):
    """One step of a diagnosis."""

    step: str
    mailbox: str | None
    tried: str
    why: str
    result: str
    seconds: float
    seen: str
    trouble: Trouble | None
    because_of: str | None


class Diagnosis(TypedDict):
    """The whole of it."""

    verdict: str
    result: str
    first_failure: str | None
    version: str
    at: str
    seconds: float
    steps: list[Step]


_MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {"passed": "ok", "failed": "FAILED", "unknown": "unknown", "skipped": "skipped"}
)
_CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "configuration": Code.CONFIGURATION,
        "credentials": Code.DENIED,
        "licence or policy": Code.DENIED,
        "network path": Code.NETWORK,
        "throttling": Code.NETWORK,
        "service": Code.NETWORK,
    }
)
_ADDRESS: Final = re.compile(r"[^\s<>\"'@:;,()=/]+@[\w-]+(?:\.[\w-]+)*")


def mended(found: Diagnosis) -> Code:
    """The exit code: that of the class of the first failing step (CONTRACT §6)."""
    failed = next((one for one in found["steps"] if one["result"] == "failed"), None)
    if failed is None:
        return Code.OK
    trouble = failed["trouble"]
    return Code.FAILED if trouble is None else _CODES.get(trouble["class"], Code.FAILED)


def shown(one: Step) -> Iterator[str]:
    """The lines of a step; only what is not well says more than one."""
    name = f"{one['step']} {one['mailbox']}" if one["mailbox"] else one["step"]
    words = f"because of {one['because_of']}" if one["because_of"] else one["seen"]
    yield clean(f"{_MARKS[one['result']]:8} {name:28} {one['seconds']:6.2f} s  {words}").rstrip()
    yield from (clean(f"{'':9}{label:10} {text}") for label, text in _told(one))


def _told(one: Step) -> Iterator[tuple[str, str]]:
    trouble = one["trouble"]
    if trouble is None:
        return
    if one["result"] == "failed":
        yield "tried", one["tried"]
        yield "why", one["why"]
        yield "class", trouble["class"]
    yield "cause", trouble["cause"]
    yield "fix", trouble["fix"]
    said = ", ".join(filter(None, (trouble["code"], _id(trouble["request_id"]))))
    if said:
        yield "answer", said


def _id(request_id: str | None) -> str:
    return f"request id {request_id}" if request_id else ""


def report_of(found: Diagnosis) -> str:
    """All of it for a ticket; every address shows its first letter and its domain."""
    lines = [
        f"posthouse {found['version']} on Python {platform.python_version()}, {platform.system()} {platform.release()}",
        f"examined at {found['at']} in {found['seconds']:.1f} s: {found['verdict']}",
        "",
    ]
    for one in found["steps"]:
        lines += shown(one)
    return _ADDRESS.sub(lambda match: masked(match[0]), "\n".join(lines))
