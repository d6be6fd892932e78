"""Drafts of messages that arrive in blocks: kept in the spool while they come, never in memory as a whole.

What policy can say of a message before its body has come, it says before the body is read.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from posthouse import headers as edit
from posthouse.doors.rest.drafts import from_header, invalid
from posthouse.doors.rest.models import RawOptions
from posthouse.encoded import HEADER_LIMIT
from posthouse.lines import Crlf, LineRules
from posthouse.message import Content
from posthouse.policy import Client
from posthouse.structure import Index
from posthouse.submission import DoorStep, Draft

BLANK: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A draft whose body is kept, and the SHA-256 of its request."""

    draft: Draft
    request_hash: bytes


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


@asynccontextmanager
async def raw_message(
    body: AsyncIterator[bytes], options: RawOptions, *, to: tuple[str, ...], client: Client, step: DoorStep
) -> AsyncGenerator[Arrived]:
    """A complete message (RFC 5322) of any size; ``to`` overrides the envelope. Raises Refused."""
    raw = _Raw(body)
    header = await raw.header()
    draft = from_header(header, options, to=to, client=client, step=step)
    async with Weighed(draft, step=step).kept(raw.body()) as whole:
        yield Arrived(whole, options.fingerprint(to=to, digest=raw.digest()))


class _Raw:
    """A message's blocks with CRLF line ends: first its header, then its body."""

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        self._blocks = blocks
        self._hash = sha256()
        self._rest = b""

    def digest(self) -> bytes:
        """SHA-256 of the bytes as they came."""
        return self._hash.digest()

    async def header(self) -> bytes:
        """The header block; raises Refused naming every rule that it breaks."""
        self._blocks = _canonical(self._blocks, seen=self._hash.update)
        begun = b""
        while BLANK not in begun and not begun.startswith(BLANK[:2]) and len(begun) <= HEADER_LIMIT + len(BLANK):
            block = await anext(self._blocks, None)
            if block is None:
                break
            begun += block
        header, body = edit.split(begun)
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
            yield self._rest
        async for block in self._blocks:
            if (rule := rules.broken(block)) is not None:
                raise invalid(rule)
            yield block


async def _canonical(blocks: AsyncIterator[bytes], *, seen: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    lines = Crlf()
    async for block in blocks:
        seen(block)
        if canonical := lines.feed(block):
            yield canonical
    if canonical := lines.end():
        yield canonical
