"""Reads of a mail only what decides its way, byte for byte and fast enough for benchmarks."""

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.policy import default as modern
from typing import Final

_HEADER: Final = re.compile(rb"(?im)^(from|to|cc|bcc|subject|message-id)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)")
_BCC: Final = re.compile(rb"(?im)^bcc[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
_MESSAGE_ID: Final = re.compile(rb"(?im)^message-id[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_PIECE: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"|<[^<>]*>|[^",<>]|[<>"])+')
_ANGLE: Final = re.compile(r"<([^<>]*)>\s*$")
_ADDRESS: Final = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+|\"(?:\\.|[^\"\\])*\"@[^\s@<>,;]+")


class MalformedError(ValueError):
    """The bytes are not a mail: empty, or without a header block (RFC 5322 section 2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail as it is delivered (no Bcc), with what its headers said before; ``recipients`` once each, in order."""

    mime: bytes
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str


def read_mail(mime: bytes) -> Mail:
    """The mail in these bytes; raises MalformedError. The recipients are To + Cc + Bcc (FACTS 0.3)."""
    if _FIELD.match(mime) is None:
        raise MalformedError("no header block")
    end = _head_end(mime)
    found: dict[bytes, list[str]] = {}
    for match in _HEADER.finditer(mime, 0, end):
        text = match[2].replace(b"\r", b"").replace(b"\n", b"").strip()
        found.setdefault(match[1].lower(), []).append(text.decode("utf-8", "replace"))
    listed: dict[str, str] = {}
    for name in (b"to", b"cc", b"bcc"):
        for value in found.get(name, ()):
            for address in addresses(value):
                listed.setdefault(address.lower(), address)
    senders = addresses(found.get(b"from", [""])[0])
    return Mail(
        mime=_BCC.sub(b"", mime[:end]) + mime[end:] if b"bcc" in found else mime,
        message_id=found.get(b"message-id", [""])[0],
        sender=senders[0] if senders else "",
        recipients=tuple(listed.values()),
        subject=_decoded(found.get(b"subject", [""])[0]),
    )


def with_message_id(mime: bytes, message_id: str) -> bytes:
    """The same mail with this Message-ID in the place of the one it has, or in front where it has none."""
    end = _head_end(mime)
    line = f"Message-ID: {message_id}\r\n".encode()
    head, count = _MESSAGE_ID.subn(lambda _: line, mime[:end], count=1)
    return (head if count else line + head) + mime[end:]


def addresses(value: str) -> list[str]:
    """The addresses of one unfolded address header (RFC 5322 section 3.4); what is no address stays as written."""
    if "(" in value or ":" in value or "\\" in value:
        return _parsed(value)
    pieces = (piece.strip() for piece in _PIECE.findall(value))
    return [_bare(piece) for piece in pieces if piece]


def is_address(text: str) -> bool:
    """Whether Exchange would resolve it as one address; it answers ErrorInvalidRecipients where not (FACTS A4)."""
    return _ADDRESS.fullmatch(text) is not None


def _bare(piece: str) -> str:
    angle = _ANGLE.search(piece)
    return angle[1].strip() if angle else piece


def _parsed(value: str) -> list[str]:
    """The standard library's reading: groups, comments and quoted strings."""
    try:
        listed = modern.header_factory("to", value).addresses
        return [address.addr_spec for address in listed]
    except (MessageError, ValueError, IndexError, AttributeError):  # its parser raises these on odd input
        return [value]


def _head_end(mime: bytes) -> int:
    """Where the header block ends, its last line break included."""
    for blank, keep in ((b"\r\n\r\n", 2), (b"\n\n", 1)):
        at = mime.find(blank)
        if at >= 0:
            return at + keep
    return len(mime)


def _decoded(raw: str) -> str:
    if "=?" not in raw:
        return raw
    try:
        return str(make_header(decode_header(raw)))
    except (MessageError, LookupError, ValueError):
        return raw
