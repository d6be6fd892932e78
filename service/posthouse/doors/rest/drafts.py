"""Turns what a client wrote, as JSON or as a raw message, into a draft for the door step."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from posthouse import headers as edit
from posthouse.compose import Arriving, Plan, Unfit, client_message_id, plan
from posthouse.doors.rest.addresses import is_address
from posthouse.doors.rest.models import MessageIn, RawOptions
from posthouse.doors.rest.parts import DOOR
from posthouse.doors.rest.reading import unfit
from posthouse.message import Bytes, Content, Envelope, Kind, Recipient
from posthouse.policy import Client, may_send_as
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.submission import DoorStep, Draft, Identity, Notice

_STANDARD_X: Final = frozenset({"x-priority", "x-mailer"})
_DISPLAY_NAME: Final = Notice(
    "display_name_replaced", "Exchange shows the mailbox's own display name instead of the one in From"
)
_SENT_ITEMS: Final = Notice(
    "sent_items_copy", "save_to_sent_items = false cannot be honoured in MIME form: a copy stays in Sent Items"
)
_AUTO_SUBMITTED: Final = Notice("auto_submitted_dropped", "Exchange drops Auto-Submitted from mail sent through Graph")


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


def from_header(header: bytes, options: RawOptions, *, to: tuple[str, ...], client: Client, step: DoorStep) -> Draft:
    """A draft of the header of a complete message (RFC 5322); ``to`` overrides the envelope. Raises Refused."""
    sender = _only_address(header)
    may_send_as(client, sender, pointer="")
    for other in edit.addresses(header, "Sender"):
        may_send_as(client, other, pointer="")
    envelope = Envelope(sender, _recipients(header, to))
    identity = step.identify(sender)
    given = _message_id(header)
    subjects, names = edit.values(header, "Subject"), [one.name for one in edit.fields(header)]
    return Draft(
        identity=identity,
        client=client,
        door=DOOR,
        sender=sender,
        envelope=envelope,
        content=Content(_completed(header, identity, given=given, names=names), Bytes(b"")),
        subject=subjects[0] if subjects else "",
        own_message_id=given,
        wishes=options.wishes(identity.at),
        notices=_header_notices(names),
        raw=True,
    )


def _notices(message: MessageIn) -> tuple[Notice, ...]:
    found: tuple[Notice, ...] = (_DISPLAY_NAME,) if message.sender.name else ()
    if not message.save_to_sent_items:
        found += (_SENT_ITEMS,)
    return found + _header_notices(message.headers) if message.headers else found


def _header_notices(names: Iterable[str]) -> tuple[Notice, ...]:
    """FACTS A4: Graph loses X- headers that the mailbox has never used through JSON or EWS, and Auto-Submitted."""
    written = {name.lower(): name for name in names}
    found = tuple(
        Notice("x_header_dropped", f"Exchange drops {name} from mail sent through Graph unless the mailbox knows it")
        for lower, name in written.items()
        if lower.startswith("x-") and lower not in _STANDARD_X
    )
    return (*found, _AUTO_SUBMITTED) if "auto-submitted" in written else found


def _only_address(header: bytes) -> str:
    found = edit.addresses(header, "From")
    if len(found) != 1 or edit.malformed(header, "From") or not is_address(found[0]):
        raise invalid("From has exactly one address")
    return found[0]


def _recipients(header: bytes, to: tuple[str, ...]) -> tuple[Recipient, ...]:
    """The envelope: ``to`` where it is given, else To, Cc and Bcc together (HOUSE); each address once."""
    kinds = {
        address.lower(): (address, kind)
        for kind in (Kind.BCC, Kind.CC, Kind.TO)
        for address in edit.addresses(header, kind.value)
    }
    if to:
        wrong = [address for address in to if not is_address(address)]
        if wrong:
            detail = "an address is local-part@domain (RFC 5321 §4.1.2); several as ?to=…&to=…"
            raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("/query/to", detail),))
        once = {address.lower(): address for address in reversed(to)}
        shown = {key: kind for key, (_, kind) in kinds.items()}
        return tuple(Recipient(address, shown.get(key, Kind.BCC)) for key, address in reversed(once.items()))
    wrong = [text for name in ("To", "Cc", "Bcc") for text in edit.malformed(header, name)]
    wrong += [address for address, _ in kinds.values() if not is_address(address)]
    if wrong:
        raise invalid(f"{len(wrong)} of the addresses in To, Cc and Bcc cannot be read, the first is {wrong[0]!r}")
    if not kinds:
        raise invalid("a message has recipients in To, Cc, Bcc or ?to=")
    return tuple(Recipient(address, kind) for address, kind in reversed(kinds.values()))


def _message_id(header: bytes) -> str | None:
    """The client's Message-ID if it is single and valid, else None: then it is replaced by ours (PROMISES §2)."""
    given = edit.values(header, "Message-ID")
    return given[0] if len(given) == 1 and edit.is_msg_id(given[0]) else None


def _completed(header: bytes, identity: Identity, *, given: str | None, names: Iterable[str]) -> bytes:
    """Without Bcc, with one Message-ID and a Date; otherwise byte for byte as it came."""
    lower = {name.lower() for name in names}
    if "bcc" in lower:
        header = edit.without(header, "Bcc")
    if given is None:
        header = edit.with_field(edit.without(header, "Message-ID"), "Message-ID", identity.message_id)
    if "date" not in lower:
        moment = datetime.fromtimestamp(identity.at / 1000, UTC)
        header = edit.with_field(header, "Date", format_datetime(moment))
    return header


def invalid(*rules: str) -> Refused:
    """The refusal of a raw message that breaks these rules."""
    errors = tuple(FieldError("", rule) for rule in rules)
    return Refused(Condition.INVALID_MIME, f"the message breaks a rule: {rules[0]}", errors=errors)
