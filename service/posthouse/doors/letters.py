"""A letter that a client wrote as JSON, whatever door it came in by: composed and made a draft for the door step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from posthouse.compose import Letter, Person, Plan, client_message_id, plan
from posthouse.doors.raw import header_notices
from posthouse.message import Bytes, Content, Envelope, Kind, Millis, Recipient
from posthouse.policy import Client
from posthouse.submission import Draft, Identity, Notice, Wishes

_DISPLAY_NAME: Final = Notice(
    "display_name_replaced", "Exchange shows the mailbox's own display name instead of the one in From"
)
_SENT_ITEMS: Final = Notice(
    "sent_items_copy", "save_to_sent_items = false cannot be honoured in MIME form: a copy stays in Sent Items"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A letter, the delivery list with its blind copies, and how it goes; ``root`` is its place in the request."""

    letter: Letter
    envelope: Envelope
    wishes: Callable[[Millis], Wishes]
    saved: bool = True
    root: str = ""


def envelope_of(sender: Person, *, to: Sequence[Person], cc: Sequence[Person], bcc: Sequence[Person]) -> Envelope:
    """Sender and recipients, each address once."""
    found: dict[str, Recipient] = {}
    for kind, group in ((Kind.TO, to), (Kind.CC, cc), (Kind.BCC, bcc)):
        for one in group:
            found.setdefault(one.address.lower(), Recipient(one.address, kind))
    return Envelope(sender.address, tuple(found.values()))


def composed(letter: Letter, identity: Identity, *, seed: str | None = None) -> Plan:
    """How it is written as RFC 5322; raises Unfit, whose pointer names the field by the name REST has for it."""
    return plan(
        letter,
        message_id=client_message_id(letter.headers) or identity.message_id,
        date=datetime.fromtimestamp(identity.at / 1000, UTC),
        boundary=seed or identity.id,
    )


def whole(made: Plan) -> Content:
    """The content of a letter whose parts are all at hand."""
    return Content(made.header, Bytes(b"".join([piece for piece in made.body if isinstance(piece, bytes)])))


def draft_of(written: Written, identity: Identity, content: Content, *, door: str, client: Client) -> Draft:
    """The draft of a composed letter."""
    letter = written.letter
    return Draft(
        identity=identity,
        client=client,
        door=door,
        sender=letter.sender.address,
        envelope=written.envelope,
        content=content,
        subject=letter.subject,
        own_message_id=client_message_id(letter.headers) if letter.headers else None,
        wishes=written.wishes(identity.at),
        notices=_notices(written),
        root=written.root,
    )


def _notices(written: Written) -> tuple[Notice, ...]:
    found: tuple[Notice, ...] = (_DISPLAY_NAME,) if written.letter.sender.name else ()
    if not written.saved:
        found += (_SENT_ITEMS,)
    headers = written.letter.headers
    return found + header_notices(name for name, _ in headers) if headers else found
