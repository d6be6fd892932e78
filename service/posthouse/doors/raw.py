"""Complete messages (RFC 5322) that a client wrote itself, whatever door they come in by: read, weighed, made fit to keep."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from typing import Final

from posthouse import headers as edit
from posthouse.doors.address import is_address
from posthouse.encoded import HEADER_LIMIT, ORDERS, is_order
from posthouse.lines import Crlf, LineRules
from posthouse.message import Bytes, Content, Envelope, Kind, Millis, Recipient
from posthouse.policy import Client, may_send_as
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.structure import Index
from posthouse.submission import DoorStep, Draft, Identity, Notice, Wishes

BLANK: Final = b"\r\n\r\n"
FROM: Final = "From"
"""Stands for a reverse-path that is the address in From."""
_STANDARD_X: Final = frozenset({"x-priority", "x-mailer"})
_AUTO_SUBMITTED: Final = Notice("auto_submitted_dropped", "Exchange drops Auto-Submitted from mail sent through Graph")


class Weighed:
    """The blocks of a draft's body on their way into the spool: not more of them than its route carries, and their structure."""

    def __init__(self, draft: Draft, *, step: DoorStep) -> None:
        self._draft = draft
        self._step = step
        self._room = step.admit(draft)
        self._size = draft.content.size
        self._index = Index(draft.content.header)

    async def blocks(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same blocks; raises Refused as soon as they are too many."""
        async for block in body:
            self._size += len(block)
            if self._size > self._room:
                self._step.refuse_size(self._draft, self._size)
            self._index.feed(block)
            yield block

    @asynccontextmanager
    async def kept(self, body: AsyncIterator[bytes]) -> AsyncGenerator[Draft]:
        """The draft with its body kept, as long as the context lasts or the draft was accepted in it."""
        async with self._step.keep(self.blocks(body)) as stored:
            content = Content(self._draft.content.header, stored)
            yield replace(self._draft, content=content, structure=self._index.end())


class Raw:
    """A message's blocks with CRLF line ends: first its header, then its body.

    ``author`` is who it is from where its header does not say.
    """

    def __init__(self, blocks: AsyncIterator[bytes], *, author: str | None = None) -> None:
        self._blocks = blocks
        self._author = author
        self._hash = sha256()
        self._rest = b""

    def digest(self, header: bytes) -> bytes:
        """SHA-256 of this header and of the body, once that has come."""
        return sha256(header + BLANK[2:] + self._hash.digest()).digest()

    async def header(self) -> bytes:
        """The header block; raises Refused naming every rule that it breaks."""
        self._blocks = _canonical(self._blocks)
        begun = b""
        while BLANK not in begun and not begun.startswith(BLANK[:2]) and len(begun) <= HEADER_LIMIT + len(BLANK):
            block = await anext(self._blocks, None)
            if block is None:
                break
            begun += block
        header, body = edit.split(begun)
        if self._author is not None and not edit.values(header, "From"):
            header = edit.with_field(header, "From", self._author)
        blank = header + BLANK[2:] if begun.startswith(BLANK[:2]) or BLANK in begun else begun
        if broken := edit.problems(blank):
            raise invalid(*broken)
        self._rest = body
        return header

    async def body(self) -> AsyncIterator[bytes]:
        """The blocks after the blank line; raises Refused for a line that breaks a rule."""
        rules = LineRules()
        if (rule := rules.broken(self._rest)) is not None:
            raise invalid(rule)
        if self._rest:
            self._hash.update(self._rest)
            yield self._rest
        async for block in self._blocks:
            if (rule := rules.broken(block)) is not None:
                raise invalid(rule)
            self._hash.update(block)
            yield block


async def _canonical(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    lines = Crlf()
    async for block in blocks:
        if canonical := lines.feed(block):
            yield canonical
    if canonical := lines.end():
        yield canonical


def draft_of(
    header: bytes,
    *,
    door: str,
    to: tuple[str, ...],
    wishes: Callable[[Millis], Wishes],
    client: Client,
    step: DoorStep,
    reverse_path: str | None = FROM,
) -> Draft:
    """A draft of the header of a complete message; its body is still to come. Raises Refused.

    ``to`` is the delivery list, empty where the header's To, Cc and Bcc are; ``reverse_path`` is None where it is null.
    """
    sender = only_address(header)
    may_send_as(client, sender, pointer="")
    for other in edit.addresses(header, "Sender"):
        may_send_as(client, other, pointer="")
    envelope = Envelope(sender if reverse_path == FROM else reverse_path, recipients(header, to))
    identity = step.identify(sender)
    given = message_id(header)
    subjects, names = edit.values(header, "Subject"), [one.name for one in edit.fields(header)]
    if any(map(is_order, names)):
        raise invalid(ORDERS)
    return Draft(
        identity=identity,
        client=client,
        door=door,
        sender=sender,
        envelope=envelope,
        content=Content(completed(header, identity, given=given, names=names), Bytes(b"")),
        subject=subjects[0] if subjects else "",
        own_message_id=given,
        wishes=wishes(identity.at),
        notices=header_notices(names),
        raw=True,
    )


def header_notices(names: Iterable[str]) -> tuple[Notice, ...]:
    """FACTS A4: Graph loses X- headers that the mailbox has never used through JSON or EWS, and Auto-Submitted."""
    written = {name.lower(): name for name in names}
    found = tuple(
        Notice("x_header_dropped", f"Exchange drops {name} from mail sent through Graph unless the mailbox knows it")
        for lower, name in written.items()
        if lower.startswith("x-") and lower not in _STANDARD_X
    )
    return (*found, _AUTO_SUBMITTED) if "auto-submitted" in written else found


def only_address(header: bytes) -> str:
    """The one address in From; raises Refused where there is another number of them, or one that cannot be read."""
    found = edit.addresses(header, "From")
    if len(found) != 1 or edit.malformed(header, "From") or not is_address(found[0]):
        raise invalid("From has exactly one address")
    return found[0]


def recipients(header: bytes, to: tuple[str, ...]) -> tuple[Recipient, ...]:
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
        raise invalid("a message has recipients in To, Cc or Bcc")
    return tuple(Recipient(address, kind) for address, kind in reversed(kinds.values()))


def message_id(header: bytes) -> str | None:
    """The client's Message-ID if it is single and valid, else None: then it is replaced by ours (PROMISES §2)."""
    given = edit.values(header, "Message-ID")
    return given[0] if len(given) == 1 and edit.is_msg_id(given[0]) else None


def completed(header: bytes, identity: Identity, *, given: str | None, names: Iterable[str]) -> bytes:
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
