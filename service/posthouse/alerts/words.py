"""An alert in words: for a mail, and for webhooks in the forms of Standard Webhooks, Teams and Slack. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal

from posthouse.fixes import filled
from posthouse.message import Millis
from posthouse.ports import Diagnosis
from posthouse.records import AlertRow

Json = Mapping[str, object]
Format = Literal["standard", "teams", "slack"]
SUMMARY: Final = "summary"
"""The key of the daily line: an alert whose subject is the day."""
TEST: Final = "test"
_RAISED: Final = "alert.raised"
_ENDED: Final = "alert.ended"
_SUMMARY: Final = "alert.summary"
_TEST: Final = "alert.test"
_CARD: Final = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What somebody is told; ``id`` is the same whenever the same is told again, ``kind`` the class of the fix."""

    id: str
    type: str
    at: Millis
    key: str
    title: str
    text: str
    kind: str | None
    cause: str | None
    fix: str | None
    host: str

    @property
    def lines(self) -> tuple[str, ...]:
        """All but the title, a paragraph each."""
        why = None if self.cause is None else f"{self.kind}: {self.cause}"
        known = [
            self.text,
            *([] if why is None else [f"Why: {why}"]),
            *([] if self.fix is None else [f"Fix: {self.fix}"]),
        ]
        return (*known, f"posthouse on {self.host}")


def telling(row: AlertRow, diagnosis: Diagnosis, *, host: str) -> Telling:
    """What is told of an alert that stands, or has ended."""
    alert, ended = row.alert, row.ended_at is not None
    fix = None if ended else diagnosis.fix(alert.key)
    words = {"mailbox": alert.mailboxes[0] if len(alert.mailboxes) == 1 else ""}
    types = {SUMMARY: _SUMMARY, TEST: _TEST}
    name = (alert.key, alert.subject, row.raised_at, 0 if ended else alert.level, ended)
    first = alert.text.partition(" ")[0]
    text = f"{first.capitalize() if first.isalpha() else first}{alert.text[len(first) :]}"
    return Telling(
        id=f"alert_{sha256(repr(name).encode()).hexdigest()[:32]}",
        type=_ENDED if ended else types.get(alert.key, _RAISED),
        at=row.ended_at or row.raised_at,
        key=alert.key,
        title=_title(row),
        text=f"No longer: {alert.text}" if ended else text if text.endswith(".") else f"{text}.",
        kind=None if fix is None else fix.kind.value,
        cause=None if fix is None else fix.cause,
        fix=None if fix is None else filled(fix.remedy, words),
        host=host,
    )


def _title(row: AlertRow) -> str:
    if row.alert.key == SUMMARY:
        return f"posthouse today: {row.alert.text.partition('.')[0]}"
    if row.alert.key == TEST:
        return "posthouse: a test of its alerts"
    return f"posthouse: {'mended: ' if row.ended_at is not None else ''}{_shortened(row.alert.text)}"


def _shortened(text: str, *, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def standard(told: Telling) -> Json:
    """As Standard Webhooks wants it (standardwebhooks.com, Payload structure): thin, with a type."""
    return {
        "type": told.type,
        "timestamp": datetime.fromtimestamp(told.at / 1000, UTC).isoformat(timespec="milliseconds"),
        "data": {
            "id": told.id,
            "key": told.key,
            "title": told.title,
            "text": told.text,
            "class": told.kind,
            "cause": told.cause,
            "fix": told.fix,
            "host": told.host,
        },
    }


def teams(told: Telling) -> Json:
    """A card as a workflow of Teams takes it ("Post to a channel when a webhook request is received").

    Rich text, because a text block would read Markdown, and so links, in what others have written.
    """
    title = {"type": "TextRun", "text": told.title, "weight": "bolder", "size": "medium"}
    runs = [[title], *([{"type": "TextRun", "text": line}] for line in told.lines)]
    body = [{"type": "RichTextBlock", "inlines": inlines} for inlines in runs]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": body, "msteams": {"width": "Full"}}
    return {"type": "message", "attachments": [{"contentType": _CARD, "content": card}]}


def slack(told: Telling) -> Json:
    """As an incoming webhook of Slack takes it; ``text`` is what notifications show."""
    lines = "\n".join(map(_escaped, told.lines))
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": told.title[:150]}},
        {"type": "section", "text": {"type": "mrkdwn", "text": lines[:3000], "verbatim": True}},
    ]
    return {"text": _escaped(told.title), "blocks": blocks}


def _escaped(text: str) -> str:
    """Slack's three control characters (docs.slack.dev, Formatting message text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


FORMS: Final[Mapping[Format, Callable[[Telling], Json]]] = MappingProxyType(
    {"standard": standard, "teams": teams, "slack": slack}
)
