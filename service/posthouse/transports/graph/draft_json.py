"""A message as Graph's JSON: the draft without its files, and each file by itself (FACTS A1, A4, A6); pure."""

import json
from typing import Final

import pybase64

from posthouse.draftable import Outline
from posthouse.message import Body, MessageId
from posthouse.structure import Part, decoded

MARK: Final = "String {5f4c9b8e-7a0d-4d52-9a57-0d6f9a1f7c33} Name posthouse"
"""The extended property by which a draft is known as ours, whatever its Message-ID; its value is our id of the message."""

_FILE: Final = "#microsoft.graph.fileAttachment"
_PLACE: Final = "\x00"
_WIDER: Final = {"us-ascii": "utf-8", "ascii": "utf-8"}
"""What is said of text that says nothing, or too little, of itself: UTF-8 holds all of it."""
_THREE: Final = 3  # bytes that base64 writes as four characters


async def draft(outline: Outline, body: Body, *, message_id: str, id_: MessageId) -> bytes:
    """The body of POST /messages; names what the message says, and leaves out what it does not."""
    message: dict[str, object] = {
        "subject": outline.subject,
        "body": {"contentType": "html" if outline.html else "text", "content": await _text(outline, body)},
        "from": _person(outline.sender),
        "toRecipients": _people(outline.to),
        "ccRecipients": _people(outline.cc),
        "bccRecipients": _people(outline.bcc),
        "internetMessageId": message_id,
        "singleValueExtendedProperties": [
            {"id": id_of, "value": value} for id_of, value in (*outline.properties, (MARK, id_))
        ],
    }
    if outline.reply_to:
        message["replyTo"] = _people(outline.reply_to)
    if outline.importance:
        message["importance"] = outline.importance
    if outline.headers:  # an empty list is refused (FACTS A4)
        message["internetMessageHeaders"] = [{"name": name, "value": value} for name, value in outline.headers]
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")


def frame(part: Part, name: str) -> tuple[bytes, bytes]:
    """What stands before and behind the base64 of a file in the body of POST attachments."""
    file = {"@odata.type": _FILE, **described(part, name), "contentBytes": _PLACE}
    before, _, behind = json.dumps(file).rpartition(json.dumps(_PLACE)[1:-1])
    return before.encode(), behind.encode()


def described(part: Part, name: str) -> dict[str, object]:
    """What a file is called and is, as both forms of giving it to a draft say it."""
    shown = part.disposition == "inline" or (part.content_id is not None and part.disposition is None)
    found: dict[str, object] = {"name": name, "contentType": part.type, "isInline": shown}
    return found if part.content_id is None else found | {"contentId": part.content_id}


def name_of(part: Part, number: int) -> str:
    """The name of a file: its own, or one that says what it is, because Graph takes none without."""
    if part.filename:
        return part.filename
    return f"attachment-{number}{'.eml' if part.type == 'message/rfc822' else ''}"


class Base64:
    """Base64 in one line, of content that comes in blocks."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        """What is ready."""
        data = self._rest + block
        whole = len(data) // _THREE * _THREE
        self._rest = data[whole:]
        return pybase64.b64encode(data[:whole])

    def end(self) -> bytes:
        """The rest."""
        return pybase64.b64encode(self._rest)


async def _text(outline: Outline, body: Body) -> str:
    if outline.text is None:
        return ""
    data = b"".join([block async for block in decoded(body, outline.text)])
    try:
        return data.decode(_WIDER.get(outline.text.charset.casefold(), outline.text.charset), "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def _people(people: tuple[tuple[str, str], ...]) -> list[dict[str, object]]:
    return [_person(one) for one in people]


def _person(person: tuple[str, str]) -> dict[str, object]:
    name, address = person
    return {"emailAddress": {"name": name, "address": address} if name else {"address": address}}
