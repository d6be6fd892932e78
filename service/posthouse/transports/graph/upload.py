"""The MIME form of sendMail on the wire: base64 without line breaks, in blocks, and how far it has left."""

from collections.abc import AsyncIterator, Callable
from typing import Final

import pybase64

from posthouse.message import Content

BLOCK: Final = 196_608
"""Bytes of content that are encoded at a time: a multiple of 3, so that the pieces join without padding."""


_WRONG_SIZE: Final = "the content has another size than it says"


class Upload:
    """One request body; ``size`` is its length in bytes, ``began`` and ``ended_at`` say how far it has left."""

    def __init__(self, content: Content, *, monotonic: Callable[[], float]) -> None:
        self._content = content
        self._monotonic = monotonic
        self.size = (content.size + 2) // 3 * 4
        self.began = False
        self.ended_at: float | None = None

    async def blocks(self) -> AsyncIterator[bytes]:
        """The encoded blocks, once; raises ValueError before a wrong size could look like a complete message."""
        self.began = True
        pending = self._content.header + b"\r\n"
        left = self._content.size
        async for block in self._content.body.blocks():
            pending += block
            while len(pending) > BLOCK:
                if left <= BLOCK:
                    raise ValueError(_WRONG_SIZE)
                yield pybase64.b64encode(pending[:BLOCK])
                pending = pending[BLOCK:]
                left -= BLOCK
        if len(pending) != left:
            raise ValueError(_WRONG_SIZE)
        # before the last block goes: aiohttp does not ask for more once Content-Length is reached
        self.ended_at = self._monotonic()
        yield pybase64.b64encode(pending)
