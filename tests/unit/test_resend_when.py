"""Times as Resend's clients write them: what is plain is taken, what is not says how to write it."""

import pytest

from posthouse.doors.resend.when import when
from posthouse.doors.rules import RuleError

NOW = 1_800_000_000_000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("in 1 min", NOW + HOUR // 60),
        ("in 1 hour", NOW + HOUR),
        ("in an hour", NOW + HOUR),
        ("in 5 minutes", NOW + HOUR // 12),
        ("in 30 secs", NOW + 30_000),
        ("In 2 Hrs", NOW + 2 * HOUR),
        ("in 3 days", NOW + 72 * HOUR),
        ("in 30 days", NOW + 720 * HOUR),
        ("in a week", NOW + 168 * HOUR),
        ("in 0 min", NOW),
        ("2024-08-05T11:52:01.858Z", 1_722_858_721_858),
        ("2024-08-05 11:52:01.858+00", 1_722_858_721_858),
        ("2024-08-05T13:52:01.858+02:00", 1_722_858_721_858),
    ],
)
def test_a_plain_time_is_taken(text: str, at: int) -> None:
    assert when(text).resolved(NOW) == at


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("tomorrow at 9am", "write ISO 8601"),
        ("Friday at 3pm ET", "in which time zone"),
        ("in 5", "write ISO 8601"),
        ("in five minutes", "write ISO 8601"),
        ("in 5 months", "write ISO 8601"),
        ("", "write ISO 8601"),
        ("2024-08-05T11:52:01", "offset"),
        ("2024-08-05", "offset"),
        ("2024-13-05T11:52:01Z", "write ISO 8601"),
        ("in 367 days", "366 days"),
        (1_722_858_721, "string"),
    ],
)
def test_any_other_is_refused_with_the_rule(value: object, rule: str) -> None:
    with pytest.raises(RuleError, match=rule):
        when(value)
