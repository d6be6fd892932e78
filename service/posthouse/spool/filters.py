"""The filters of a list made into conditions: every engine keeps them as named parts of its find.sql."""

from collections.abc import Iterator, Mapping
from typing import Final

from posthouse.message import Millis, Status
from posthouse.records import Filters

Value = int | str | None

_CONDITIONS_OF_THEIR_OWN: Final = frozenset({Status.SCHEDULED, Status.QUEUED, Status.DEFERRED, Status.SENT})
_PART: Final = "--: "


def parts(text: str) -> dict[str, str]:
    """The named conditions of find.sql: a line of two dashes and a name begins each."""
    found: dict[str, str] = {}
    for part in text.split(_PART)[1:]:
        name, _, condition = part.partition("\n")
        found[name] = condition
    return found


def narrowed(named: Mapping[str, str], filters: Filters, now: Millis) -> tuple[str, dict[str, Value]]:
    """The conditions of these filters and the values of their parameters; cursors are the engine's own."""
    values: dict[str, Value] = {}
    text = ""
    for name, value in _given(filters):
        text += named[name]
        values[name] = value
    if filters.status is not None:
        text += named[filters.status.value if filters.status in _CONDITIONS_OF_THEIR_OWN else "stored"]
        values |= {"status": filters.status.value, "now": now}
    for n, (tag, value) in enumerate(filters.tags.items()):
        text += named["tag"].replace("{n}", str(n))
        values |= {f"tag_name_{n}": tag, f"tag_value_{n}": value}
    return text, values


def _given(filters: Filters) -> Iterator[tuple[str, Value]]:
    subject = filters.subject
    if subject is not None:
        subject = "%" + subject.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    asked: dict[str, Value] = {
        "sender": filters.sender,
        "recipient": filters.recipient,
        "subject": subject,
        "reference": filters.reference,
        "message_id": filters.message_id,
        "client": filters.client,
        "door": filters.door,
        "transport": filters.transport,
        "created_after": filters.created_after,
        "created_before": filters.created_before,
    }
    return ((name, value) for name, value in asked.items() if value is not None)
