"""What stands in a cell: counts, addresses, times, as different languages and tools write them."""

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_COUNT: Final = re.compile(r"\d+|\d{1,3}(?:([.,'\u2019 \u00a0\u202f])\d{3})(?:\1\d{3})*")
_ADDRESS: Final = re.compile(r"[^\s@<>\"(),:;]+@[^\s@<>\"(),:;]+")
_TIME: Final = re.compile(
    r"(?P<one>\d{1,4})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)(?P<three>\d{1,4})"
    r"(?:[T, ]+(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?(?:[.,]\d+)?)?"
    r"(?:[ \u202f]?(?P<half>[AaPp]\.?[Mm]\.?))?[ ]?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
)
_YEAR_DIGITS: Final = 4
_MONTHS: Final = 12
_NOON: Final = 12
_SHOWN: Final = 40


class WrongError(ValueError):
    """A cell breaks a rule; the text names the rule and shows the cell."""

    def __init__(self, rule: str, cell: str) -> None:
        shown = cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…"
        super().__init__(f"{rule}; this is {shown!r}")


def count(cell: str) -> int:
    """A whole number, with or without marks between thousands; raises WrongError."""
    if not _COUNT.fullmatch(cell):
        raise WrongError("a count is digits, thousands marked or not", cell)
    return int("".join(filter(str.isdigit, cell)))


def address(cell: str) -> str:
    """An address in lower case, as Exchange compares them; raises WrongError."""
    text = cell.strip("<>\"' ").lower()
    if not _ADDRESS.fullmatch(text):
        raise WrongError("an address is local-part@domain", cell)
    return text


def network_address(cell: str) -> str:
    """An IPv4 or IPv6 address, without a port; raises WrongError."""
    text = cell
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise WrongError("an IP address is IPv4 or IPv6", cell) from None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def day_first(cells: Iterable[str]) -> bool | None:
    """Whether a file writes the day before the month; None where nothing in it tells.

    Dots are for days first. With slashes, one date with a number above 12 tells for all.
    """
    for cell in cells:
        found = _TIME.fullmatch(cell)
        if found is None or len(found["one"]) == _YEAR_DIGITS:
            continue
        if found["mark"] == "." or int(found["one"]) > _MONTHS:
            return True
        if int(found["two"]) > _MONTHS:
            return False
    return None


def moment(cell: str, *, days_first: bool) -> datetime:
    """A time; without a zone it is UTC, as both Entra's and Exchange's exports are. Raises WrongError."""
    found = _TIME.fullmatch(cell)
    try:
        return _plain(cell) if found is None else _assembled(found, days_first=days_first)
    except ValueError:
        raise WrongError("a time is a date, such as 2026-11-30, with or without a time of day", cell) from None


def _plain(cell: str) -> datetime:
    found = datetime.fromisoformat(cell)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _assembled(found: re.Match[str], *, days_first: bool) -> datetime:
    one, two, three = found["one"], found["two"], found["three"]
    if len(one) == _YEAR_DIGITS:
        year, month, day = one, two, three
    else:
        year, month, day = (three, two, one) if days_first else (three, one, two)
    century = 2000 if len(year) < _YEAR_DIGITS else 0
    hour = int(found["hour"] or 0)
    if found["half"]:
        hour = hour % _NOON + (_NOON if found["half"][0] in "pP" else 0)
    clock = (hour, int(found["minute"] or 0), int(found["second"] or 0))
    return datetime(century + int(year), int(month), int(day), *clock, tzinfo=_zone(found["zone"])).astimezone(UTC)


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    ahead = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-ahead if text[0] == "-" else ahead)
