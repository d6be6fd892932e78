"""Reads a report that mail did not arrive: RFC 3464 in the parts of RFC 6522, as Exchange and others write it; pure.

Whatever the bytes are, nothing is raised: what is no such report, or says nothing of a failed recipient, is None.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from typing import Final

TEXT_LIMIT: Final = 500
"""Characters of a diagnostic text that are kept."""
MOST: Final = 500
"""Failed recipients that are read of one report: Exchange's own limit of recipients is 500 by default (FACTS B1)."""
_PARTS: Final = 100
_ADDRESS_LIMIT: Final = 320
_CODE: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_REPLY: Final = re.compile(r"(?:^|[^\d.])([45]\d\d)[ -]")
_BLANK: Final = re.compile(rb"\r?\n[ \t]*\r?\n")
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,990}>")
_ORIGINALS: Final = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})
_GLOBAL: Final = "message/global-delivery-status"  # RFC 6533 §4
_STATUS: Final = frozenset({"message/delivery-status", _GLOBAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One recipient whom the mail did not reach: the addresses by which the report knows it, and why it says so."""

    addresses: tuple[str, ...]
    code: str | None
    reply: int | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Ndr:
    """A non-delivery report: the Message-ID of the mail that it is about, and whom that did not reach."""

    message_id: str
    failures: tuple[Failure, ...]


def parsed(mime: bytes) -> Ndr | None:
    """The report in these bytes; None where they are none, or report a delay or a success (RFC 3464 §2.3.3)."""
    try:
        return _parsed(mime)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, AssertionError):
        return None  # the standard library's parser raises these on what somebody mutilated


def _parsed(mime: bytes) -> Ndr | None:
    message_id: str | None = None
    failures: list[Failure] = []
    report = message_from_bytes(mime, policy=compat32)
    for part in _parts(report):
        kind = part.get_content_type()
        if kind in _STATUS:
            failures += _failures(part)
        elif kind in _ORIGINALS and message_id is None:
            message_id = _message_id(part)
    message_id = message_id or _answered(report)
    return Ndr(message_id, tuple(failures[:MOST])) if message_id and failures else None


def _answered(report: Message) -> str | None:
    """Where the mail is not inside, its Message-ID as of one that is answered (RFC 5322 §3.6.4)."""
    found = (_MESSAGE_ID.findall(_text(report.get(name))) for name in ("In-Reply-To", "References"))
    return next((ids[-1] for ids in found if ids), None)


def _parts(message: Message) -> Iterator[Message]:
    """The parts of a report, not those of the mail inside it: that may hold a report of its own."""
    waiting, seen = [message], 0
    while waiting and seen < _PARTS:
        part = waiting.pop(0)
        seen += 1
        yield part
        if part.get_content_maintype() == "multipart":
            waiting = [*_inside(part), *waiting]


def _inside(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _failures(part: Message) -> Iterator[Failure]:
    """Of each block behind the first, which is about the whole report (RFC 3464 §2.1)."""
    for block in _blocks(part):
        if _text(block.get("Action")).lower() != "failed":
            continue
        named = (_address(block.get(name)) for name in ("Original-Recipient", "Final-Recipient"))
        addresses = tuple(dict.fromkeys(one for one in named if one))
        if addresses:
            yield _failure(addresses, _text(block.get("Status")), _text(block.get("Diagnostic-Code")))


def _blocks(part: Message) -> Sequence[Message]:
    inside = _inside(part)
    if part.get_content_type() == _GLOBAL:  # which the standard library takes for a mail
        return _split(b"".join(one.as_bytes() for one in inside))
    if _text(part.get("Content-Transfer-Encoding")).lower() != "base64":
        return inside
    # nobody should encode this part (RFC 3464 §2), and some do: then the standard library has taken base64 for a block
    return _split(base64.b64decode("".join(str(one.get_payload()) for one in inside)))


def _split(text: object) -> Sequence[Message]:
    pieces = _BLANK.split(text.strip())[: MOST + 1] if isinstance(text, bytes) else []
    return [message_from_bytes(piece, policy=compat32) for piece in pieces]


def _failure(addresses: tuple[str, ...], status: str, diagnostic: str) -> Failure:
    words = diagnostic.partition(";")[2] if ";" in diagnostic[:20] else diagnostic
    words = words.strip()[:TEXT_LIMIT]
    reply = _REPLY.search(words)
    return Failure(
        addresses=addresses,
        code=_code(status, words),
        reply=None if reply is None else int(reply[1]),
        text=words or None,
    )


def _code(status: str, words: str) -> str | None:
    """The narrower of what the field and the words say: some write 5.0.0, others only in words (RFC 3463 §3.1)."""
    told = [".".join(match.groups()) for text in (status, words) for match in [_CODE.search(text)] if match]
    told = [one for one in told if not one.startswith("2")]
    # Exchange's own codes have three digits at their end (5.7.232) where a field may say only their kind (5.7.1)
    return max(told, key=lambda one: (not one.endswith(".0"), len(one) if one[:3] == told[0][:3] else 0), default=None)


def _address(field: object) -> str:
    """An address without its type (RFC 3464 §2.3.1); empty where it is none that mail could have gone to."""
    kind, found, address = _text(field).partition(";")
    given = (address if found else kind).strip().strip("<>").strip()
    return given if "@" in given and len(given) <= _ADDRESS_LIMIT and not re.search(r"[\s\x00-\x1f]", given) else ""


def _message_id(part: Message) -> str | None:
    """Of the mail inside, or of its header block as text (RFC 6522 §3, §4)."""
    inside = _inside(part)
    if inside:
        field = inside[0].get("Message-ID")
    else:
        payload = part.get_payload(decode=True)
        field = message_from_bytes((payload if isinstance(payload, bytes) else b"").lstrip()).get("Message-ID")
    match = _MESSAGE_ID.search(_text(field))
    return None if match is None else match[0]


def _text(field: object) -> str:
    """A field in one line, without what a terminal could take for more than text."""
    shown = "" if field is None else str(field)
    return "".join(one if one.isprintable() else " " for one in re.sub(r"\s+", " ", shown)).strip()
