"""What a sender's mail asks of mailboxes: peaks in sliding windows, waiting, how many mailboxes are enough."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from posthouse.limits import Limits
from posthouse.migration.exports import Mail

MINUTE: Final = 60.0
DAY: Final = 86_400.0
PATIENCE: Final = 15 * MINUTE
"""Seconds that a message may wait for the pace of its mailbox before one mailbox counts as too few."""

_MOST: Final = 4096
_LIMITS: Final = Limits()
"""Exchange's published limits of one mailbox (FACTS B1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One sender's mail. Without a trace only the average of days is known, and the rest is None.

    ``longest_wait``: seconds that the worst message would wait for the pace of a single mailbox.
    """

    per_day: float
    mailboxes: int
    peak_minute: int | None = None
    peak_day: int | None = None
    recipients_day: int | None = None
    outside_day: int | None = None
    most_recipients: int | None = None
    largest: int | None = None
    longest_wait: float | None = None


def averaged(messages: int, *, days: float) -> Volume:
    """The volume where nothing but a sum is known: one recipient a message, spread evenly."""
    per_day = messages / days
    return Volume(per_day=per_day, mailboxes=max(_ceil(per_day, _LIMITS.recipients_per_day), 1))


def measured(mails: Sequence[Mail], *, days: float) -> Volume:
    """The volume of a trace's mails, which stand in the order of time."""
    times, recipients = [mail.at for mail in mails], [mail.recipients for mail in mails]
    ones, outside = [1] * len(mails), [mail.outside for mail in mails]
    by_day = peak(times, recipients, window=DAY)
    return Volume(
        per_day=len(mails) / days,
        mailboxes=_enough(times, at_least=max(_ceil(by_day, _LIMITS.recipients_per_day), 1)),
        peak_minute=peak(times, ones, window=MINUTE),
        peak_day=peak(times, ones, window=DAY),
        recipients_day=by_day,
        outside_day=peak(times, outside, window=DAY),
        most_recipients=max(recipients, default=0),
        largest=max((mail.size for mail in mails), default=0),
        longest_wait=longest_wait(times, mailboxes=1),
    )


def peak(times: Sequence[float], weights: Sequence[int], *, window: float) -> int:
    """The most that any window of so many seconds holds; ``times`` in order."""
    sums = [0, *accumulate(weights)]
    return max((sums[end + 1] - sums[bisect_right(times, at - window)] for end, at in enumerate(times)), default=0)


def longest_wait(times: Sequence[float], *, mailboxes: int) -> float:
    """Seconds that the worst message waits where so many mailboxes share the mail, each at Exchange's pace."""
    at_once, left, worst = mailboxes * _LIMITS.messages_per_minute, list[float](), 0.0
    for number, at in enumerate(times):
        leaves = max(at, left[number - at_once] + MINUTE) if number >= at_once else at
        left.append(leaves)
        worst = max(worst, leaves - at)
    return worst


def _enough(times: Sequence[float], *, at_least: int) -> int:
    """The fewest mailboxes, from ``at_least`` on, with which nothing waits longer than PATIENCE."""
    low, high = at_least, at_least
    while high < _MOST and longest_wait(times, mailboxes=high) > PATIENCE:
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if longest_wait(times, mailboxes=middle) <= PATIENCE else (middle + 1, high)
    return high


def _ceil(amount: float, limit: int) -> int:
    return -int(-amount // limit)
