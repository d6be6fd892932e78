"""Turns what a Graph client wrote as JSON into a draft for the door step."""

from collections.abc import Iterator
from typing import Final

from posthouse.compose import Attachment, Letter, Person, Unfit
from posthouse.doors.graph.errors import GraphRefused, place_of
from posthouse.doors.graph.models import AttachmentIn, MessageIn, RecipientIn, SendMailIn
from posthouse.doors.http.reading import unfit
from posthouse.doors.letters import Written, composed, draft_of, envelope_of, whole
from posthouse.doors.values import content_type_of
from posthouse.message import Millis
from posthouse.policy import Client, folded
from posthouse.refusal import Condition, FieldError
from posthouse.submission import DoorStep, Draft, Wishes

DOOR: Final = "graph"


def from_json(wanted: SendMailIn, mailbox: str, *, client: Client, step: DoorStep) -> Draft:
    """A draft of a validated message, composed; ``mailbox`` is the address of the URL. Raises Refused."""
    written = _written(wanted, mailbox)
    identity = step.identify(written.letter.sender.address)
    try:
        plan = composed(written.letter, identity)
    except Unfit as fault:
        raise unfit(Unfit(place_of(fault.pointer), str(fault))) from None
    return draft_of(written, identity, whole(plan), door=DOOR, client=client)


def _written(wanted: SendMailIn, mailbox: str) -> Written:
    message = wanted.message
    sender = _person(message.author) if message.author is not None else Person("", mailbox)
    _check_sender(message, sender.address, mailbox)
    letter = Letter(
        sender=sender,
        to=_people(message.to),
        cc=_people(message.cc),
        reply_to=_people(message.reply_to),
        subject=message.subject,
        text=message.body.content if message.body.content_type == "text" else None,
        html=message.body.content if message.body.content_type == "html" else None,
        headers=tuple(_headers(message, sender.address)),
        attachments=tuple(_attachment(file) for file in message.attachments),
        importance=message.importance,
    )

    def wishes(_now: Millis) -> Wishes:
        moments = [moment for one in message.properties if (moment := one.moment) is not None]
        return Wishes(due_at=max(int(moment.timestamp() * 1000) for moment in moments) if moments else None)

    envelope = envelope_of(sender, to=letter.to, cc=letter.cc, bcc=_people(message.bcc))
    return Written(letter=letter, envelope=envelope, wishes=wishes, saved=wanted.saved)


def _check_sender(message: MessageIn, sender: str, mailbox: str) -> None:
    """Which mailbox sends is the settings' to say ([[senders]]): a client may only repeat what is known."""
    if message.sender is None or folded(message.sender.email.address) in (folded(sender), folded(mailbox)):
        return
    pointer = "/message/sender"
    detail = "the sender is the address in from or that of the URL; the settings say which mailbox sends it"
    error, code = FieldError(pointer, detail), "ErrorSendAsDenied"
    raise GraphRefused(Condition.VALIDATION_ERROR, f"{pointer}: {detail}", code=code, errors=(error,), status=403)


def _headers(message: MessageIn, sender: str) -> Iterator[tuple[str, str]]:
    if message.message_id is not None:
        yield "Message-ID", message.message_id
    if message.read_receipt:
        yield "Disposition-Notification-To", sender  # RFC 8098 §2.1
    if message.categories:
        yield "Keywords", ", ".join(message.categories)  # as Exchange maps them ([MS-OXCMAIL], PidNameKeywords)
    if message.sensitivity is not None:
        yield "Sensitivity", message.sensitivity
    for one in message.properties:
        if one.header is not None:
            yield one.header.title(), one.value
    for one in message.headers:
        yield one.name, one.value


def _attachment(file: AttachmentIn) -> Attachment:
    return Attachment(
        filename=file.name,
        content=file.content,
        content_type=content_type_of(file.name, file.content_type),
        content_id=file.content_id or None,
        inline=file.inline,
    )


def _people(group: tuple[RecipientIn, ...]) -> tuple[Person, ...]:
    return tuple(_person(one) for one in group)


def _person(one: RecipientIn) -> Person:
    return Person(one.email.name, one.email.address)
