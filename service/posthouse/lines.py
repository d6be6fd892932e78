"""What a message needs on its way in blocks: line ends, rules of lines, base64; each eats blocks and keeps only an edge."""

import re
from typing import Final

from posthouse.encoded import LINE_LIMIT, base64_lines

NO_NUL: Final = "a message holds no NUL"
LONG_LINE: Final = f"a line has at most {LINE_LIMIT} octets"

_LINE_BYTES: Final = 57
"""Bytes of one line of 76 characters (RFC 2045 §6.8)."""
_BARE: Final = re.compile(rb"\r\n|\r|\n")


class Crlf:
    """Makes every line end CRLF: a bare LF or CR becomes one (HOUSE, the REST door)."""

    def __init__(self) -> None:
        self._pending = False

    def feed(self, block: bytes) -> bytes:
        """The block's lines; a CR at its edge waits for what follows."""
        if self._pending:
            block = b"\r" + block
        self._pending = block.endswith(b"\r")
        if self._pending:
            block = block[:-1]
        if block.count(b"\r\n") == block.count(b"\n") == block.count(b"\r"):
            return block
        return _BARE.sub(b"\r\n", block)

    def end(self) -> bytes:
        """What waited."""
        pending, self._pending = self._pending, False
        return b"\r\n" if pending else b""


class LineRules:
    """Holds blocks of CRLF lines, none of which ends with a CR, against RFC 5322 §2.1.1 and §2.2."""

    def __init__(self) -> None:
        self._open = 0

    def broken(self, block: bytes) -> str | None:
        """The rule that this block, or the line that it continues, breaks."""
        if b"\0" in block:
            return NO_NUL
        start = -self._open
        while len(block) - start > LINE_LIMIT:
            end = block.rfind(b"\n", max(start, 0), start + LINE_LIMIT + 2)
            if end < 0:
                return LONG_LINE
            start = end + 1
        last = block.rfind(b"\n")
        self._open = len(block) - last - 1 if last >= 0 else self._open + len(block)
        return None


class SevenBit:
    """Sees whether content can be a message/* as it stands, without encoding (RFC 2045 §2.7, RFC 2046 §5.2.1)."""

    def __init__(self) -> None:
        self._rules = LineRules()
        self._edge = b""
        self._clean = True

    def feed(self, block: bytes) -> None:
        """Look at the next block."""
        block = self._edge + block
        self._edge = b"\r" if block.endswith(b"\r") else b""
        block = block[: len(block) - len(self._edge)]
        ends = block.count(b"\r\n")
        sound = block.isascii() and block.count(b"\n") == ends == block.count(b"\r")
        self._clean = self._clean and sound and self._rules.broken(block) is None

    def clean(self) -> bool:
        """Whether all of it was."""
        return self._clean and not self._edge


class Base64Lines:
    """Base64 in lines of 76 characters with CRLF between them (RFC 2045 §6.8), none after the last."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, block: bytes) -> bytes:
        """The whole lines so far."""
        data = self._rest + block
        whole = len(data) // _LINE_BYTES * _LINE_BYTES
        self._rest = data[whole:]
        return self._lines(data[:whole])

    def end(self) -> bytes:
        """The last line."""
        rest, self._rest = self._rest, b""
        return self._lines(rest)

    def _lines(self, data: bytes) -> bytes:
        if not data:
            return b""
        before, self._begun = b"\r\n" if self._begun else b"", True
        return before + base64_lines(data)
