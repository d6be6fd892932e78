"""Turns what a client wrote as JSON into a draft for the door step."""

from collections.abc import Mapping
from typing import Final

from posthouse.compose import Arriving, Plan
from posthouse.doors.http.composing import planned as composed
from posthouse.doors.letters import Written, draft_of, whole
from posthouse.doors.rest.models import MessageIn
from posthouse.message import Bytes, Content
from posthouse.policy import Client
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.submission import DoorStep, Draft, Identity

DOOR: Final = "rest"


def from_json(message: MessageIn, *, client: Client, step: DoorStep, root: str = "") -> Draft:
    """A draft of a validated JSON message, composed; raises Refused. ``root`` is its place in a batch."""
    by_part = [index for index, file in enumerate(message.attachments) if file.part is not None]
    if by_part:
        pointer, detail = (
            f"{root}/attachments/{by_part[0]}/part",
            "part is for multipart/form-data; in JSON use content",
        )
        raise Refused(Condition.INVALID_ATTACHMENT, f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
    identity, written = step.identify(message.sender.address), _written(message, {}, root=root)
    return draft_of(written, identity, whole(composed(written, identity)), door=DOOR, client=client)


def announced(message: MessageIn, contents: Mapping[int, Arriving], *, client: Client, step: DoorStep) -> Draft:
    """The same of a message whose body is still to come: its header alone."""
    identity, written = step.identify(message.sender.address), _written(message, contents)
    header = Content(composed(written, identity).header, Bytes(b""))
    return draft_of(written, identity, header, door=DOOR, client=client)


def planned(
    message: MessageIn, identity: Identity, contents: Mapping[int, Arriving], *, seed: str | None = None
) -> Plan:
    """How a message is composed; ``contents`` are those not at hand, by the index of their attachment. Raises Refused."""
    return composed(_written(message, contents), identity, seed=seed)


def _written(message: MessageIn, contents: Mapping[int, Arriving], *, root: str = "") -> Written:
    return Written(
        letter=message.letter(contents),
        envelope=message.envelope(),
        wishes=message.wishes,
        saved=message.save_to_sent_items,
        root=root,
    )
