"""The content of one file of a message, decoded while it is read: its size, and any range of it in small blocks."""

from collections.abc import AsyncIterator
from typing import Final

from posthouse.message import Body
from posthouse.structure import Part, decoded

BLOCK: Final = 65_536
"""Bytes that are handed on at a time (SDK §6a: then 150 MB cost 0.5 MB)."""


class File:
    """One file; ranges are cheapest one behind the other, an earlier one is decoded from the start again."""

    def __init__(self, body: Body, part: Part) -> None:
        self._body = body
        self._part = part
        self._at = 0
        self._rest = b""
        self._blocks: AsyncIterator[bytes] | None = None

    async def size(self) -> int:
        """Bytes; by one pass over the file, for only that tells what its encoding holds."""
        return sum([len(block) async for block in decoded(self._body, self._part)])

    async def range(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to before ``end``; raises ValueError where the file ends before."""
        if self._blocks is None or start < self._at:
            self._blocks, self._at, self._rest = decoded(self._body, self._part), 0, b""
        while self._at < end:
            if not self._rest:
                block = await anext(self._blocks, None)
                if block is None:
                    raise ValueError("the file has another size than was counted")
                self._rest = block
            room = (end if self._at >= start else start) - self._at
            piece, self._rest = self._rest[: min(room, BLOCK)], self._rest[min(room, BLOCK) :]
            self._at += len(piece)
            if self._at - len(piece) >= start:
                yield piece
