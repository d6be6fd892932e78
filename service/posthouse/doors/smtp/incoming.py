"""What follows DATA, up to the line with a lone dot: in blocks, without the dots that clients double (RFC 5321 §4.5.2).

Only CR LF dot CR LF ends it, and a CR or LF that stands alone refuses all of it: where one server sees the end of a
message and the next does not, mail can be smuggled in (RFC 5321 §2.3.8).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from posthouse.refusal import Condition, Refused

END: Final = b"\r\n.\r\n"
LINE_END: Final = b"\r\n"
BARE: Final = "every line ends with CR LF; a CR or LF stands alone (RFC 5321 section 2.3.8)"

_DOTS: Final = b"\r\n."
_OPENING: Final = 1024
"""Bytes that are looked at one by one before a message has said anything."""


class UnendedError(Exception):
    """More came after a refusal than is worth reading: the connection is closed."""


class Incoming:
    """The content of one message; ``alive`` is called when the client was heard."""

    def __init__(self, reader: asyncio.StreamReader, *, alive: Callable[[], None]) -> None:
        self._reader = reader
        self._alive = alive
        self.ended = False

    async def blocks(self) -> AsyncIterator[bytes]:
        """The blocks in order, lines whole or not, none ending inside of a line end; raises Refused(INVALID_MIME)."""
        edge = LINE_END + await self._opening()  # at the beginning a dot is doubled as it is after a line end
        start = len(LINE_END)
        while True:
            block = edge if self.ended else edge + await self._more()
            block, edge = (block, b"") if self.ended else _without_edge(block)
            if block.count(LINE_END) == block.count(b"\n") == block.count(b"\r"):
                text = block.replace(_DOTS, LINE_END)[start:]
            else:
                raise Refused(Condition.INVALID_MIME, BARE)
            start = 0 if block else start
            if text:
                yield text
            if self.ended:
                return

    async def skip(self, most: int) -> None:
        """Read what is left and forget it; raises UnendedError where that is more than ``most`` bytes."""
        size = 0
        while not self.ended:
            size += len(await self._more())
            if size > most:
                raise UnendedError

    async def _opening(self) -> bytes:
        """The first bytes: an end mark may follow no line end but that of the command itself."""
        got = b""
        while not got.strip(_DOTS) and not self.ended:
            got += await self._reader.readexactly(1)
            self.ended = (LINE_END + got).endswith(END)
            if len(got) > _OPENING:
                raise Refused(Condition.INVALID_MIME, "a message begins with its header (RFC 5322 section 3.5)")
        return got[: -len(END) + len(LINE_END)] if self.ended else got

    async def _more(self) -> bytes:
        """The next block, without the end mark but with the line end before it."""
        try:
            block = await self._reader.readuntil(END)
        except asyncio.LimitOverrunError as enough:
            block = await self._reader.readexactly(enough.consumed)
        else:
            self.ended = True
            block = block[: -len(END) + len(LINE_END)]
        self._alive()
        return block


def _without_edge(block: bytes) -> tuple[bytes, bytes]:
    """The block, and the line end, or half of one, that needs what follows to be judged."""
    for edge in (LINE_END, b"\r"):
        if block.endswith(edge):
            return block[: -len(edge)], edge
    return block, b""
