"""Options that several commands share, and how times are written on the command line."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output: one object, or one a line.")]
MessageIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Messages, as msg_... or UUID.")]
OneMessage = Annotated[str, typer.Argument(metavar="ID", help="A message, as msg_... or UUID.")]

_DURATION: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def later(text: str) -> str:
    """ISO 8601 of a time written as ``90d`` from now, or as a date or time; raises typer.BadParameter."""
    return _instant(text, sign=1)


def earlier(text: str) -> str:
    """ISO 8601 of a time written as ``2h`` ago, or as a date or time; raises typer.BadParameter."""
    return _instant(text, sign=-1)


def _instant(text: str, *, sign: int) -> str:
    match = _DURATION.fullmatch(text)
    if match:
        return (datetime.now(UTC) + sign * timedelta(**{_UNITS[match[2]]: int(match[1])})).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()  # without a zone: local time
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a duration such as 90d nor a time such as 2027-01-31") from None
