"""Renders a JSON message as RFC 5322 with MIME, the same bytes for the same arguments; quick for the common shapes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from typing import Final, Literal, Protocol

from posthouse.encoded import (
    FIELD_NAME,
    HEADER_LIMIT,
    MSG_ID,
    MSG_ID_LIMIT,
    ORDERS,
    TOKEN,
    Unfit,
    base64_lines,
    checked,
    fold,
    is_order,
    mailbox,
    parameter,
    unstructured,
)
from posthouse.lines import Base64Lines, LineRules, SevenBit


@dataclass(frozen=True, slots=True)
class Person:
    """A mailbox: an address, and the name shown beside it, which may be empty."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Arriving:
    """The content of a file that is not at hand; ``seven_bit``: it can be a message/* as it stands (RFC 2046 §5.2.1)."""

    seven_bit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file; with ``inline`` and a ``content_id`` the html shows it as ``cid:`` (RFC 2392)."""

    filename: str
    content: bytes | Arriving = field(repr=False)
    content_type: str
    content_id: str | None = None
    inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a client wrote; blind copies are no part of it, they live in the envelope only."""

    sender: Person
    to: tuple[Person, ...]
    cc: tuple[Person, ...] = ()
    reply_to: tuple[Person, ...] = ()
    subject: str = ""
    text: str | None = field(default=None, repr=False)
    html: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    importance: Literal["high", "normal", "low"] | None = None


class Encoding(Protocol):
    """Encodes a content that comes in blocks."""

    def feed(self, block: bytes) -> bytes:
        """What is ready."""
        ...

    def end(self) -> bytes:
        """The rest."""
        ...


class _AsItStands:
    """For content that goes without encoding."""

    def feed(self, block: bytes) -> bytes:
        return block

    def end(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the arriving content of attachment ``index``; ``plain``: it goes without encoding."""

    index: int
    plain: bool

    def encoding(self) -> Encoding:
        """A new encoding for the content of this slot."""
        return _AsItStands() if self.plain else Base64Lines()


Piece = bytes | Slot


@dataclass(frozen=True, slots=True)
class Plan:
    """A composed message with slots for what has not arrived; no plain slot may hold ``mark``: then plan it with another seed."""

    header: bytes = field(repr=False)
    body: tuple[Piece, ...] = field(repr=False)
    mark: bytes


@dataclass(frozen=True, slots=True)
class _Part:
    """One MIME entity: its fields, its encoded content without the last line end, whether that is unencoded."""

    head: str
    pieces: tuple[Piece, ...]
    plain: bool = False


_FIELD_OF: Final = {
    "from": "from",
    "to": "to",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "subject": "subject",
    "importance": "importance",
}
_NOT_THE_CLIENTS: Final = frozenset(
    {
        "sender",
        "mime-version",
        "return-path",
        "received",
        "dkim-signature",
        "domainkey-signature",
        "authentication-results",
    }
)
_NOT_THE_CLIENTS_PREFIXES: Final = ("content-", "resent-", "arc-")
_AT_MOST_ONCE: Final = frozenset({"date", "in-reply-to", "references"})

_DATE: Final = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"\d\d:\d\d(?::\d\d)? (?:[+-]\d{4}|GMT|UT)",
    re.ASCII,
)
_PARAMETER: Final = re.compile(
    r"\s*;\s*([A-Za-z0-9._-]{1,40})\s*=\s*(?:([!#$&'*+.^_`{|}~0-9A-Za-z/:-]+)|\"([^\"\\]*)\")"
)
_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,255}")


def compose(letter: Letter, *, message_id: str, date: datetime, boundary: str) -> tuple[bytes, bytes]:
    """The header block (ends with one CRLF, no blank line) and the body of the message, every line end CRLF.

    ``message_id`` is a msg-id, best ``client_message_id`` where there is one; ``date`` knows its zone and gives way to
    a Date among the letter's headers; ``boundary`` seeds the boundaries, which occur in no part. All contents must be
    at hand. Raises Unfit.
    """
    made = plan(letter, message_id=message_id, date=date, boundary=boundary)
    return made.header, b"".join([piece for piece in made.body if isinstance(piece, bytes)])


def plan(letter: Letter, *, message_id: str, date: datetime, boundary: str) -> Plan:
    """The same with slots where the content of an attachment is still ``Arriving``."""
    top, mark = _content(letter, boundary)
    fields = [
        fold("From", mailbox(letter.sender.name, letter.sender.address, at="/from")),
        _people("To", letter.to, at="/to"),
        _people("Cc", letter.cc, at="/cc"),
        _people("Reply-To", letter.reply_to, at="/reply_to"),
        unstructured("Subject", letter.subject, at="/subject"),
        fold("Message-ID", [_sound_id(message_id)]),
        f"Importance: {letter.importance}\r\n" if letter.importance else "",
        _date_and_custom(letter.headers, date),
        "MIME-Version: 1.0\r\n",
        top.head,
    ]
    header = "".join(fields).encode()
    if len(header) > HEADER_LIMIT:
        raise Unfit("/headers", f"all header fields together have at most {HEADER_LIMIT} octets (Exchange Online)")
    last = top.pieces[-1]
    ending = (b"\r\n",) if last and not (isinstance(last, bytes) and last.endswith(b"\r\n")) else ()
    return Plan(header, top.pieces + ending, mark.encode())


def client_message_id(headers: Iterable[tuple[str, str]]) -> str | None:
    """The Message-ID among a client's headers if it is single and valid, else None: then ours is used (PROMISES §2)."""
    given = [value.strip(" ") for name, value in headers if name.lower() == "message-id"]
    if len(given) == 1 and len(given[0]) <= MSG_ID_LIMIT and MSG_ID.fullmatch(given[0]):
        return given[0]
    return None


def _sound_id(message_id: str) -> str:
    if len(message_id) > MSG_ID_LIMIT or not MSG_ID.fullmatch(message_id):
        raise Unfit("/headers/Message-ID", "a Message-ID is <left@right> in ASCII (RFC 5322 §3.6.4)")
    return message_id


def _people(name: str, people: Sequence[Person], *, at: str) -> str:
    if not people:
        return ""
    pieces: list[str] = []
    for index, person in enumerate(people):
        pieces += mailbox(person.name, person.address, at=f"{at}/{index}")
        pieces[-1] += ","
    pieces[-1] = pieces[-1][:-1]
    return fold(name, pieces)


def _date_and_custom(headers: Sequence[tuple[str, str]], date: datetime) -> str:
    """Date and the client's own fields; white space around a value is no part of it (RFC 5322 §2.2)."""
    if not headers:
        return f"Date: {format_datetime(date)}\r\n"
    when, lines = format_datetime(date), ""
    seen: set[str] = set()
    for name, value in headers:
        at = "/headers/" + name.replace("~", "~0").replace("/", "~1")
        lower = _permitted(name, at=at)
        if lower in seen and lower in _AT_MOST_ONCE:
            raise Unfit(at, f"{name} stands at most once (RFC 5322 §3.6)")
        seen.add(lower)
        inner = checked(value, at=at).strip(" ")
        if lower == "date":
            when = _given_date(inner, at=at)
        elif lower != "message-id":
            lines += unstructured(name, inner, at=at)
    return f"Date: {when}\r\n{lines}"


def _permitted(name: str, *, at: str) -> str:
    if not FIELD_NAME.fullmatch(name):
        raise Unfit(at, "a header name is 1 to 75 visible ASCII characters without a colon (RFC 5322 §3.6.8)")
    lower = name.lower()
    if lower in _FIELD_OF:
        raise Unfit(at, f"{name} is set by the field {_FIELD_OF[lower]!r}, not by a header")
    if lower in _NOT_THE_CLIENTS or lower.startswith(_NOT_THE_CLIENTS_PREFIXES):
        raise Unfit(at, f"{name} is written by the service or by mail servers, never by a client")
    if is_order(name):
        raise Unfit(at, ORDERS)
    return lower


def _given_date(value: str, *, at: str) -> str:
    try:
        if _DATE.fullmatch(value):
            return format_datetime(parsedate_to_datetime(value))
    except ValueError:
        pass
    raise Unfit(at, "a Date is written as 'Tue, 24 Nov 2026 09:30:00 +0100' (RFC 5322 §3.3)")


def _content(letter: Letter, seed: str) -> tuple[_Part, str]:
    """The tree of RFC 2046 §5.1 and RFC 2387, and its mark: mixed(alternative(text, related(html, images)), files)."""
    attached = [_attachment(file, index) for index, file in enumerate(letter.attachments)]
    _refuse_twins(letter.attachments)
    shown = [letter.html is not None and file.inline and file.content_id is not None for file in letter.attachments]
    images = [part for part, image in zip(attached, shown, strict=True) if image]
    files = [part for part, image in zip(attached, shown, strict=True) if not image]
    text = None if letter.text is None and letter.html is not None else _text("plain", letter.text or "", at="/text")
    html = None if letter.html is None else _text("html", letter.html, at="/html")
    mark = _mark(seed, [text, html, *attached])
    if html and images:
        html = _multipart(f"related{parameter('type', 'text/html', at='')}", f"r{mark}", [html, *images])
    found = [part for part in (text, html) if part]
    body = found[0] if len(found) == 1 else _multipart("alternative", f"a{mark}", found)
    return _multipart("mixed", f"m{mark}", [body, *files]) if files else body, mark


def _mark(seed: str, parts: Sequence[_Part | None]) -> str:
    """A boundary's stem that no unencoded part holds; base64 has no hyphen and so cannot hold a delimiter."""
    plain = [piece for part in parts if part and part.plain for piece in part.pieces if isinstance(piece, bytes)]
    mark = sha256(seed.encode()).hexdigest()[:32]
    while any(mark.encode() in data for data in plain):
        mark = sha256(mark.encode()).hexdigest()[:32]
    return mark


def _multipart(subtype: str, boundary: str, parts: Sequence[_Part]) -> _Part:
    pieces: list[Piece] = []
    for part in parts:
        pieces += (f"--{boundary}\r\n{part.head}\r\n".encode(), *part.pieces, b"\r\n")
    pieces.append(f"--{boundary}--".encode())
    return _Part(f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n', tuple(pieces))


def _text(subtype: str, text: str, *, at: str) -> _Part:
    """A text part with the line ends of RFC 2046 §4.1.1; as it stands where 7bit can carry it, else base64."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\n", "\r\n")
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: "
    if text.isascii():
        data = text.encode()
        if LineRules().broken(data) is None:
            return _Part(f"{head}7bit\r\n", (data,), plain=True)
    try:
        return _Part(f"{head}base64\r\n", (base64_lines(text.encode()),))
    except UnicodeEncodeError:
        raise Unfit(at, "a text holds no lone surrogate (RFC 3629 §3)") from None


def _attachment(file: Attachment, index: int) -> _Part:
    at = f"/attachments/{index}"
    head = f"Content-Type: {_content_type(file, at=f'{at}/content_type')}\r\n"
    plain = head.startswith("Content-Type: message/")
    head += f"Content-Transfer-Encoding: {'7bit' if plain else 'base64'}\r\n"
    disposition = "inline" if file.inline else "attachment"
    name = parameter("filename", file.filename, at=f"{at}/filename") if file.filename else ""
    head += f"Content-Disposition: {disposition}{name}\r\n"
    if file.content_id is not None:
        head += fold("Content-ID", [f"<{_content_id(file.content_id, at=at)}>"])
    if isinstance(file.content, Arriving):
        return _Part(head, (Slot(index, plain=plain),), plain=plain)
    return _Part(head, (file.content if plain else base64_lines(file.content),), plain=plain)


def _content_type(file: Attachment, *, at: str) -> str:
    """The type rebuilt from its tokens; a message/* that is no clean 7bit is a file, for base64 is not allowed there."""
    essence, _, _ = checked(file.content_type, at=at).partition(";")
    kind, _, subtype = essence.strip().lower().partition("/")
    rest = file.content_type[len(essence) :].rstrip("; ")
    if not TOKEN.fullmatch(kind) or not TOKEN.fullmatch(subtype) or len(essence) > 2 * 127 + 1:
        raise Unfit(at, "a content type is type/subtype (RFC 2045 §5.1, RFC 6838 §4.2)")
    if kind == "multipart":
        raise Unfit(at, "an attachment is one part, not multipart (RFC 2046 §5.1)")
    if kind == "message" and not _is_message(file.content):
        return "application/octet-stream"
    parameters: dict[str, str] = {}
    while rest:
        match = _PARAMETER.match(rest)
        if not match or match[1].lower() in parameters:
            raise Unfit(at, "parameters of a content type are ;name=value, each once (RFC 2045 §5.1)")
        parameters[match[1].lower()] = parameter(match[1], match[2] or match[3] or "", at=at)
        rest = rest[match.end() :]
    return f"{kind}/{subtype}{''.join(parameters.values())}"


def _is_message(content: bytes | Arriving) -> bool:
    """Whether content can be a message/* as it stands, without encoding (RFC 2046 §5.2.1)."""
    if isinstance(content, Arriving):
        return content.seven_bit
    seen = SevenBit()
    seen.feed(content)
    return seen.clean()


def _content_id(given: str, *, at: str) -> str:
    bare = _bare_id(given)
    if not _CONTENT_ID.fullmatch(bare):
        raise Unfit(f"{at}/content_id", "a content id is 1 to 255 characters of RFC 5322 atext, dots and @")
    return bare


def _bare_id(given: str) -> str:
    return given[1:-1] if given[:1] == "<" and given[-1:] == ">" else given


def _refuse_twins(attachments: Sequence[Attachment]) -> None:
    seen: set[str] = set()
    for index, file in enumerate(attachments):
        if file.content_id is None:
            continue
        bare = _bare_id(file.content_id)
        if bare in seen:
            raise Unfit(f"/attachments/{index}/content_id", "every content id stands for one part (RFC 2045 §7)")
        seen.add(bare)
