"""The command line of sendmail as programs write it: single letters with their values attached or behind (sendmail(8))."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.cli.sendmail.sysexits import Ended, Exit

_FLAGS: Final = frozenset("EGIUcimntvx")
_VALUED: Final = frozenset("ABCFLNORVXbfhopr")
_ATTACHED: Final = frozenset("deq")
"""Letters whose value is attached, if there is one."""
_NOTIFY: Final = re.compile(r"never|(?:delay|failure|success)(?:,(?:delay|failure|success))*", re.IGNORECASE)
_CHECKS: Final = {
    "B": re.compile(r"7bit|8bitmime", re.IGNORECASE),
    "N": _NOTIFY,
    "R": re.compile(r"full|hdrs", re.IGNORECASE),
    "h": re.compile(r"\d+"),
}
"""What a value must be even where it changes nothing: Graph has no delivery reports, and posthouse takes 8 bits always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What counts of a command line; ``mode`` is the letter of -b."""

    recipients: tuple[str, ...] = ()
    from_header: bool = False
    dots: bool = False
    sender: str | None = None
    name: str | None = None
    verbose: bool = False
    mode: str = "m"
    flush: bool = False


def parse(arguments: Sequence[str]) -> Options:
    """The options; those that mean nothing here are taken and forgotten. Raises Ended(USAGE)."""
    given: list[tuple[str, str]] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        _word(word[1:], rest, given)
    for letter, value in given:
        rule = _CHECKS.get(letter)
        if rule is not None and not rule.fullmatch(value):
            raise Ended(Exit.USAGE, f"-{letter} does not take {value!r}")
    last = dict(given)
    return Options(
        recipients=tuple(rest),
        from_header="t" in last,
        dots=_keeps_dots(given),
        sender=next((value for letter, value in reversed(given) if letter in "fr"), None),
        name=last.get("F"),
        verbose="v" in last,
        mode="i" if "I" in last else last.get("b", "m"),
        flush="q" in last,
    )


def _word(letters: str, rest: list[str], given: list[tuple[str, str]]) -> None:
    """One word: flags together, the last letter perhaps with its value."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _ATTACHED:
            given.append((letter, letters))
            return
        if letter in _VALUED:
            if not letters and not rest:
                raise Ended(Exit.USAGE, f"-{letter} needs a value")
            given.append((letter, letters or rest.pop(0)))
            return
        if letter not in _FLAGS:
            raise Ended(Exit.USAGE, f"there is no option -{letter}")
        given.append((letter, ""))


def _keeps_dots(given: Sequence[tuple[str, str]]) -> bool:
    """-i, -oi, -O IgnoreDots=true: a line with a lone dot is a line."""
    return any(
        letter == "i" or (letter, value) == ("o", "i") or (letter == "O" and value.lower() == "ignoredots=true")
        for letter, value in given
    )
