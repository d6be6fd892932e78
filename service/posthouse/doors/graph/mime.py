"""Base64 MIME, as Graph's clients send it as text/plain: decoded in blocks, kept while it comes, never whole in memory."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import pybase64

from posthouse.doors.graph.drafts import DOOR
from posthouse.doors.graph.errors import GraphRefused
from posthouse.doors.graph.models import INVALID_RECIPIENTS
from posthouse.doors.raw import Raw, Weighed, draft_of, recipients
from posthouse.policy import Client
from posthouse.refusal import Condition, Refused
from posthouse.submission import DoorStep, Draft, Wishes

BAD_BASE64: Final = "ErrorMimeContentInvalidBase64String"

_WHITE: Final = b" \t\r\n"
_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class Arrived:
    """A draft whose body is kept, and the SHA-256 of its request."""

    draft: Draft
    request_hash: bytes


@asynccontextmanager
async def mime_message(
    body: AsyncIterator[bytes], mailbox: str | None, *, client: Client, step: DoorStep
) -> AsyncGenerator[Arrived]:
    """A complete message of any size; without From it comes from the ``mailbox`` of the URL. Raises Refused."""
    raw = Raw(decoded(body), author=mailbox)
    header = await raw.header()
    _check_recipients(header)
    draft = draft_of(header, door=DOOR, to=(), wishes=lambda _now: Wishes(), client=client, step=step)
    async with Weighed(draft, step=step).kept(raw.body()) as whole:
        digest = sha256(b"graph mime\0" + (mailbox or "").encode() + b"\0" + raw.digest(header)).digest()
        yield Arrived(whole, digest)


async def decoded(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What the base64 stands for, with or without line breaks (RFC 2045 §6.8); raises Refused where it is none."""
    rest, ended = b"", False
    async for block in blocks:
        text = rest + block.translate(None, _WHITE)
        whole = len(text) // _GROUP * _GROUP
        rest = text[whole:]
        if ended and text:
            raise _no_base64()
        if whole:
            ended = text.find(b"=", 0, whole) >= 0
            yield _decode(text[:whole])
    if rest:
        raise _no_base64()


def _decode(text: bytes) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise _no_base64() from None


def _check_recipients(header: bytes) -> None:
    """Graph has a word of its own for a message that nobody gets."""
    try:
        recipients(header, ())
    except Refused as fault:
        raise GraphRefused(fault.condition, fault.detail, code=INVALID_RECIPIENTS, errors=fault.errors) from None


def _no_base64() -> Refused:
    return GraphRefused(Condition.INVALID_MIME, "Invalid base64 string for MIME content.", code=BAD_BASE64)
