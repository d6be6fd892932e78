"""What the Resend door shows of what is kept: ids as UUIDs, emails in Resend's shape, without their contents."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from pydantic_core import to_json

from posthouse.doors.http.parts import iso
from posthouse.message import Kind, MessageId, Status, id_bytes
from posthouse.records import Page, Record
from posthouse.submission import Receipt

Json = dict[str, object]

_LAST_EVENT: Final = {
    Status.SCHEDULED: "scheduled",
    Status.QUEUED: "queued",
    Status.SENDING: "queued",
    Status.DEFERRED: "delivery_delayed",
    Status.HELD: "delivery_delayed",
    Status.UNCONFIRMED: "delivery_delayed",
    Status.SENT: "sent",
    Status.FAILED: "failed",
    Status.EXPIRED: "failed",
    Status.CANCELED: "canceled",
}


def last_event(status: Status, *, bounced: bool = False) -> str:
    """Resend's word for a status; never delivered, opened or clicked, because nobody here can know (CONTRACT §1)."""
    return "bounced" if bounced else _LAST_EVENT[status]


def uuid_of(message_id: MessageId) -> str:
    """The UUID behind an id."""
    return str(UUID(bytes=id_bytes(message_id)))


def single(receipts: Sequence[Receipt]) -> bytes:
    """The answer to one email."""
    return to_json({"id": uuid_of(receipts[0].id)})


def batch(receipts: Sequence[Receipt]) -> bytes:
    """The answer to a batch of which each email was taken, in its order."""
    return to_json(_taken(receipts))


def sifted(receipts: Sequence[Receipt], errors: Sequence[Json]) -> bytes:
    """The answer to a batch of which some may have been refused."""
    return to_json(_taken(receipts) | {"errors": list(errors)})


def refused(index: int, message: str) -> Json:
    """Why the email at this place of its batch was not taken."""
    return {"index": index, "message": message}


def reference(message_id: MessageId) -> Json:
    """What an action answers."""
    return {"object": "email", "id": uuid_of(message_id)}


def email(one: Record) -> Json:
    """An email; what only its content says (html, text, reply_to) is null."""
    tags = [{"name": name, "value": value} for name, value in one.tags.items()]
    return {"object": "email", **_row(one), "html": None, "text": None, "tags": tags}


def listed(page: Page) -> Json:
    """A list, newest first."""
    return {"object": "list", "has_more": page.has_more, "data": [_row(one) for one in page.records]}


def _row(one: Record) -> Json:
    return {
        "id": uuid_of(one.id),
        "message_id": one.message_id,
        "from": one.sender,
        "to": _addresses(one, Kind.TO),
        "cc": _addresses(one, Kind.CC),
        "bcc": _addresses(one, Kind.BCC),
        "reply_to": None,
        "subject": one.subject,
        "created_at": iso(one.created_at),
        "scheduled_at": iso(one.due_at) if one.status is Status.SCHEDULED else None,
        "last_event": last_event(one.status, bounced=bool(one.bounces)),
    }


def _addresses(one: Record, kind: Kind) -> list[str]:
    return [recipient.address for recipient in one.recipients if recipient.kind == kind.value]


def _taken(receipts: Sequence[Receipt]) -> Json:
    return {"data": [{"id": uuid_of(one.id)} for one in receipts]}
