"""What is kept of a report that mail did not arrive, and what history says of it, for every engine."""

from typing import Final

from posthouse.message import MessageId, Millis
from posthouse.records import Bounce, Bounced

MOST_TENANT: Final = 100
"""Reports that refuse the tenant which are told at once: one is enough to alarm somebody."""


def folded(bounce: Bounce) -> list[str]:
    """The addresses that the report knows the recipient by, in lower case."""
    return [one.lower() for one in bounce.addresses]


def bounced(bounce: Bounce, message_id: MessageId, known: str | None) -> Bounced:
    """The message with the recipient as it has it; else as the report ends with it."""
    return Bounced(id=message_id, recipient=known or bounce.addresses[-1], code=bounce.code, fix=bounce.fix)


def row(bounce: Bounce, recipient: str, *, key: int, lane: int, at: Millis) -> dict[str, int | str | None]:
    """The row of add_bounce.sql."""
    return {
        "message": key,
        "report": bounce.report,
        "recipient": recipient.lower(),
        "lane": lane,
        "at": at,
        "code": bounce.code,
        "reply": bounce.reply,
        "text": bounce.text,
        "fix": bounce.fix,
    }


def told(bounce: Bounce, recipient: str, transport: str) -> dict[str, object]:
    """The data of the event; what the report does not say is left out."""
    data = {
        "recipient": recipient,
        "transport": transport,
        "code": bounce.code,
        "reply": bounce.reply,
        "text": bounce.text,
        "fix": bounce.fix,
    }
    return {name: value for name, value in data.items() if value is not None}
