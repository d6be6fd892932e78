"""Reads ``scheduled_at`` as Resend's clients write it: ISO 8601, or ``in 5 minutes``."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from posthouse.doors.options import moment
from posthouse.doors.rules import RuleError
from posthouse.doors.values import LONGEST_WAIT
from posthouse.message import Millis

RULE: Final = (
    "write ISO 8601 with its offset, such as 2026-08-05T11:52:01.858Z, or 'in' with a number of minutes, hours, days "
    "or weeks, such as 'in 1 min'; posthouse takes no other words, because they do not say in which time zone"
)

_WITHIN: Final = re.compile(
    r"in\s+(an?|\d{1,9})\s*(s|m|h|d|w|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|weeks?)", re.IGNORECASE
)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class When:
    """A time, or seconds from the moment of acceptance."""

    at: datetime | None = None
    within: float | None = None

    def resolved(self, now: Millis) -> Millis | None:
        """The point in time."""
        return moment(self.at, self.within, now=now)


def when(value: object) -> When:
    """When to send; raises RuleError."""
    if not isinstance(value, str):
        raise RuleError("a time is a string")
    if match := _WITHIN.fullmatch(value.strip()):
        number = 1 if match[1].lower().startswith("a") else int(match[1])
        seconds = number * _SECONDS[match[2][0].lower()]
        if seconds > LONGEST_WAIT:
            raise RuleError("a message waits at most 366 days")
        return When(within=float(seconds))
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        raise RuleError(RULE) from None
    if at.tzinfo is None:
        raise RuleError("a time says its offset from UTC, such as Z or +02:00 (RFC 3339 §4.3)")
    return When(at=at)
