"""What a draft of Graph can carry of a message, and what it would lose: pure; read by the door step and by the transport.

A draft is written in JSON: Exchange makes the MIME anew, so signatures break and only known fields go with it (FACTS A4).
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from posthouse import headers
from posthouse.structure import Part, anatomy

FILE_LIMIT: Final = 157_286_400
"""Bytes of one file that an upload session takes: 150 MB (FACTS A6)."""

TEXT_LIMIT: Final = 1_572_864
"""Encoded bytes of the text: as JSON, which may double them, it stays in one request of 4 MB (FACTS A6)."""

CUSTOM_HEADERS: Final = 5
"""Fields of our own choice in one message; their names begin with x- (FACTS A4)."""

PROPERTIES: Final = {
    # MAPI properties from which Exchange writes these fields ([MS-OXCMAIL] §2.1.3; FACTS A4 for the last)
    "in-reply-to": "String 0x1042",
    "references": "String 0x1039",
    "list-unsubscribe": "String 0x1045",
}
_OWN: Final = frozenset({"from", "to", "cc", "bcc", "reply-to", "subject", "importance", "message-id"})
_WRITTEN_BY_EXCHANGE: Final = frozenset({"date", "sender", "mime-version", "received", "return-path", "auto-submitted"})
"""Exchange writes these itself in every form, or drops them in every form (FACTS A4)."""
_IMPORTANCE: Final = frozenset({"low", "normal", "high"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A message as a draft says it; people are pairs of name and address, Bcc is what the header says (the envelope's)."""

    sender: tuple[str, str]
    to: tuple[tuple[str, str], ...]
    cc: tuple[tuple[str, str], ...]
    bcc: tuple[tuple[str, str], ...]
    reply_to: tuple[tuple[str, str], ...]
    subject: str
    importance: str | None
    headers: tuple[tuple[str, str], ...]
    properties: tuple[tuple[str, str], ...]
    text: Part | None
    html: bool
    files: tuple[Part, ...] = field(default=())


def outline(header: bytes, root: Part) -> Outline:
    """The message taken apart; ``loss`` must have found nothing."""
    seen = anatomy(root)
    senders = headers.people(header, "From")
    subjects = headers.values(header, "Subject")
    importance = (headers.values(header, "Importance") or [""])[0].strip().lower()
    names = _custom(header)
    return Outline(
        sender=senders[0] if senders else ("", ""),
        to=headers.people(header, "To"),
        cc=headers.people(header, "Cc"),
        bcc=headers.people(header, "Bcc"),
        reply_to=headers.people(header, "Reply-To"),
        subject=subjects[0] if subjects else "",
        importance=importance if importance in _IMPORTANCE else None,
        headers=tuple((name, value) for name in names for value in headers.values(header, name)),
        properties=tuple(
            (tag, " ".join(found[0].split()))
            for name, tag in PROPERTIES.items()
            if (found := headers.values(header, name))
        ),
        text=seen.html or seen.text,
        html=seen.html is not None,
        files=seen.files,
    )


def loss(header: bytes, root: Part | None) -> str | None:
    """What a draft would lose of a message, in words for its client; None where nothing. Without ``root``: of its header."""
    return _header_loss(header) or (None if root is None else _body_loss(root))


def _header_loss(header: bytes) -> str | None:
    found = [one.name for one in headers.fields(header)]
    known = _OWN | _WRITTEN_BY_EXCHANGE | PROPERTIES.keys()
    for name in found:
        lower = name.lower()
        if lower not in known and not lower.startswith(("x-", "content-")):
            return f"the header {name}"
    custom = [name for name in found if name.lower().startswith("x-")]
    if len(custom) > CUSTOM_HEADERS:
        return f"{len(custom) - CUSTOM_HEADERS} of its {len(custom)} X- headers"
    return None


def _body_loss(root: Part) -> str | None:
    seen = anatomy(root)
    if seen.odd is not None:
        return seen.odd
    for text in (seen.text, seen.html):
        if text is not None and (trouble := _text_loss(text)) is not None:
            return trouble
    large = next((file for file in seen.files if file.size > FILE_LIMIT * 3 // 2), None)
    return None if large is None else f"a file of more than {FILE_LIMIT} bytes"


def _text_loss(text: Part) -> str | None:
    if text.size > TEXT_LIMIT:
        return f"a text of more than {TEXT_LIMIT} bytes"
    try:
        codecs.lookup(text.charset)
    except (LookupError, ValueError):
        return f"a text in the unknown charset {text.charset!r}"
    return None


def _custom(header: bytes) -> Sequence[str]:
    """The names of the fields of our own choice, each once, in their order."""
    names = {one.name.lower(): one.name for one in headers.fields(header) if one.name.lower().startswith("x-")}
    return list(names.values())
