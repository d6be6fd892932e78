"""Turns what a client wrote as JSON into a draft for the door step."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from posthouse.compose import Arriving, Plan, Unfit, client_message_id, plan
from posthouse.doors.raw import header_notices
from posthouse.doors.rest.models import MessageIn
from posthouse.doors.rest.parts import DOOR
from posthouse.doors.rest.reading import unfit
from posthouse.message import Bytes, Content
from posthouse.policy import Client
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.submission import DoorStep, Draft, Identity, Notice

_DISPLAY_NAME: Final = Notice(
    "display_name_replaced", "Exchange shows the mailbox's own display name instead of the one in From"
)
_SENT_ITEMS: Final = Notice(
    "sent_items_copy", "save_to_sent_items = false cannot be honoured in MIME form: a copy stays in Sent Items"
)


def from_json(message: MessageIn, *, client: Client, step: DoorStep, root: str = "") -> Draft:
    """A draft of a validated JSON message, composed; raises Refused. ``root`` is its place in a batch."""
    by_part = [index for index, file in enumerate(message.attachments) if file.part is not None]
    if by_part:
        pointer, detail = (
            f"{root}/attachments/{by_part[0]}/part",
            "part is for multipart/form-data; in JSON use content",
        )
        raise Refused(Condition.INVALID_ATTACHMENT, f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
    identity = step.identify(message.sender.address)
    made = planned(message, identity, {}, root=root)
    body = b"".join([piece for piece in made.body if isinstance(piece, bytes)])
    return _of_json(message, identity, Content(made.header, Bytes(body)), client=client, root=root)


def announced(message: MessageIn, contents: Mapping[int, Arriving], *, client: Client, step: DoorStep) -> Draft:
    """The same of a message whose body is still to come: its header alone."""
    identity = step.identify(message.sender.address)
    made = planned(message, identity, contents)
    return _of_json(message, identity, Content(made.header, Bytes(b"")), client=client)


def planned(
    message: MessageIn,
    identity: Identity,
    contents: Mapping[int, Arriving],
    *,
    root: str = "",
    seed: str | None = None,
) -> Plan:
    """How a message is composed; ``contents`` are those not at hand, by the index of their attachment. Raises Refused."""
    given = client_message_id(message.headers.items()) if message.headers else None
    try:
        return plan(
            message.letter(contents),
            message_id=given or identity.message_id,
            date=datetime.fromtimestamp(identity.at / 1000, UTC),
            boundary=seed or identity.id,
        )
    except Unfit as fault:
        raise unfit(fault, root=root) from None


def _of_json(message: MessageIn, identity: Identity, content: Content, *, client: Client, root: str = "") -> Draft:
    return Draft(
        identity=identity,
        client=client,
        door=DOOR,
        sender=message.sender.address,
        envelope=message.envelope(),
        content=content,
        subject=message.subject,
        own_message_id=client_message_id(message.headers.items()) if message.headers else None,
        wishes=message.wishes(identity.at),
        notices=_notices(message),
        root=root,
    )


def _notices(message: MessageIn) -> tuple[Notice, ...]:
    found: tuple[Notice, ...] = (_DISPLAY_NAME,) if message.sender.name else ()
    if not message.save_to_sent_items:
        found += (_SENT_ITEMS,)
    return found + header_notices(message.headers) if message.headers else found
