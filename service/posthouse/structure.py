"""Reads the MIME structure of a body from its blocks: where each part's content lies, and how it is decoded (RFC 2046).

Nothing of the body is kept but part headers and the edge of a block, so a body of any size costs the same memory.
"""

import binascii
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from typing import Final, Protocol

import pybase64

from posthouse.encoded import HEADER_LIMIT
from posthouse.headers import as_text, decoded_words
from posthouse.message import Body, Content

PARTS: Final = 1_000
"""Parts of a message that are told apart; one with more is not taken apart at all."""
DEPTH: Final = 20
"""Multiparts inside one another that are opened."""

_DELIMITER_LINE: Final = 1_000  # octets of a line that may be a delimiter: LINE_LIMIT and its CRLF
_NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_ID: Final = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One entity (RFC 2045 §2.4): what its header says, where its content lies in the body, the entities in it."""

    type: str
    charset: str = "us-ascii"
    encoding: str = "7bit"
    disposition: str | None = None
    filename: str = ""
    content_id: str | None = None
    start: int
    end: int
    parts: tuple["Part", ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its content as it stands, still encoded."""
        return self.end - self.start


@dataclass(slots=True)
class _Open:
    """An entity whose end has not been seen."""

    header: Message
    start: int
    boundary: bytes | None = None
    parts: list[Part] = field(default_factory=list)

    def closed(self, end: int) -> Part:
        header = self.header
        content_id = _ID.search(str(header.get("Content-ID", "")))
        kind = header.get_content_type()
        return Part(
            type=kind if kind.isascii() and kind.isprintable() else "application/octet-stream",
            charset=_parameter(header.get_param("charset")) or "us-ascii",
            encoding=str(header.get("Content-Transfer-Encoding", "7bit")).strip().lower(),
            disposition=header.get_content_disposition(),
            filename=decoded_words(header.get_filename() or ""),
            content_id=content_id[1] if content_id else None,
            start=self.start,
            end=max(end, self.start),
            parts=tuple(self.parts),
        )


class Index:
    """Eats a body's blocks; ``end`` gives the message as a part whose content is the body."""

    def __init__(self, header: bytes) -> None:
        # the line end before the body may be that of the first delimiter (RFC 2046 §5.1.1)
        self._buffer = bytearray(b"\r\n")
        self._base = -2
        self._at = 0
        self._count = 0
        self._stack: list[_Open] = []
        self._leaf: _Open | None = None
        self._in_header = False
        self._root: Part | None = None
        self._begin(header, start=0)

    def feed(self, block: bytes) -> None:
        """Look at the next block."""
        self._buffer += block
        self._scan(last=False)
        del self._buffer[: self._at]
        self._base += self._at
        self._at = 0

    def end(self) -> Part:
        """The whole; what is still open ends with the body."""
        self._scan(last=True)
        size = self._base + len(self._buffer)
        if self._in_header:
            self._begin(bytes(self._buffer[self._at + 2 :]), start=size)
        self._close_leaf(size)
        while self._stack:
            self._close_multipart(size)
        if self._root is None:
            raise RuntimeError("a body has one root")
        return replace(self._root, end=size)

    def _scan(self, *, last: bool) -> None:
        while self._in_header or self._stack:
            if self._count > PARTS:
                self._give_up()
                break
            going = self._header(last=last) if self._in_header else self._content(last=last)
            if not going:
                return
        # a root that is no multipart, or whose end was seen: only the size counts
        self._at = len(self._buffer)

    def _header(self, *, last: bool) -> bool:
        """Go on where a part's header begins, after the line end at ``_at``; False where more must come first."""
        line = begin = self._at + 2
        while (end := self._buffer.find(b"\r\n", line)) >= 0 or (last and line < len(self._buffer)):
            end = len(self._buffer) if end < 0 else end
            blank = end == line
            text = bytes(self._buffer[line:end])
            if blank or (text.startswith(b"--") and self._delimits(text[2:])):
                self._begin(bytes(self._buffer[begin:line]), start=self._base + (end + 2 if blank else line))
                # the line end before a delimiter belongs to it, also that of the blank line
                self._at = line if blank else line - 2
                return True
            line = end + 2
        if len(self._buffer) - begin <= HEADER_LIMIT:
            return False
        self._begin(b"", start=self._base + begin)
        return True

    def _content(self, *, last: bool) -> bool:
        """Find the next delimiter line of an open multipart; False where more must come first."""
        place = self._buffer.find(b"\r\n--", self._at)
        if place < 0:
            self._at = max(self._at, len(self._buffer) - 3)
            return False
        end = self._buffer.find(b"\r\n", place + 4, place + 4 + _DELIMITER_LINE)
        if end < 0 and not last and len(self._buffer) - place < _DELIMITER_LINE:
            self._at = place
            return False
        end = len(self._buffer) if end < 0 else end
        found = self._delimits(bytes(self._buffer[place + 4 : end]))
        self._at = place + 2
        if found:
            level, closing = found
            self._close_leaf(self._base + place)
            while len(self._stack) >= level + (not closing):
                self._close_multipart(self._base + place)
            self._in_header = not closing
            self._at = end
        return True

    def _give_up(self) -> None:
        root = self._stack[0]
        root.parts.clear()
        self._root = root.closed(0)
        self._stack.clear()
        self._leaf, self._in_header = None, False

    def _delimits(self, text: bytes) -> tuple[int, bool] | None:
        """How many multiparts stay open at this line, and whether it closes the last of them; None for other lines."""
        text = text.rstrip(b" \t")
        for level in range(len(self._stack), 0, -1):
            boundary = self._stack[level - 1].boundary
            if boundary is not None and text.startswith(boundary) and text[len(boundary) :] in (b"", b"--"):
                return level, text != boundary
        return None

    def _begin(self, header: bytes, *, start: int) -> None:
        self._in_header = False
        self._count += 1
        opened = _Open(HeaderParser().parsestr(as_text(header)), start)
        boundary = _parameter(opened.header.get_param("boundary"))
        multipart = opened.header.get_content_maintype() == "multipart"
        if multipart and boundary and len(self._stack) < DEPTH and self._count <= PARTS:
            opened.boundary = boundary.rstrip(" \t").encode()
            self._stack.append(opened)
        else:
            self._leaf = opened

    def _close_leaf(self, end: int) -> None:
        leaf, self._leaf = self._leaf, None
        if leaf is not None:
            self._put(leaf.closed(end))

    def _close_multipart(self, end: int) -> None:
        self._put(self._stack.pop().closed(end))

    def _put(self, part: Part) -> None:
        if self._stack:
            self._stack[-1].parts.append(part)
        else:
            self._root = part


async def index_of(content: Content) -> Part:
    """The structure of a content, by one pass over its body."""
    index = Index(content.header)
    async for block in content.body.blocks():
        index.feed(block)
    return index.end()


class _Decoding(Protocol):
    def feed(self, block: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _AsItStands:
    def feed(self, block: bytes) -> bytes:
        return block

    def end(self) -> bytes:
        return b""


class _Base64:
    """Ignores what is no base64 and ends at the padding (RFC 2045 §6.8)."""

    def __init__(self) -> None:
        self._rest = b""
        self._over = False

    def feed(self, block: bytes) -> bytes:
        if self._over:
            return b""
        text = self._rest + block.translate(None, _NOT_BASE64)
        pad = text.find(b"=")
        if pad >= 0:
            self._over, self._rest = True, b""
            return self._tail(text[:pad])
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        return pybase64.b64decode(text[:whole])

    def end(self) -> bytes:
        return self._tail(self._rest)

    def _tail(self, text: bytes) -> bytes:
        text = text[: len(text) - (len(text) % 4 == 1)]
        return pybase64.b64decode(text + b"=" * (-len(text) % 4))


class _QuotedPrintable:
    """Whole lines at a time, so that no soft line break is cut (RFC 2045 §6.7)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        text = self._rest + block
        whole = text.rfind(b"\n") + 1
        self._rest = text[whole:]
        return binascii.a2b_qp(text[:whole])

    def end(self) -> bytes:
        return binascii.a2b_qp(self._rest)


_DECODINGS: Final[dict[str, type[_Decoding]]] = {
    "7bit": _AsItStands,
    "8bit": _AsItStands,
    "binary": _AsItStands,
    "base64": _Base64,
    "quoted-printable": _QuotedPrintable,
}


def decodable(part: Part) -> bool:
    """Whether the part's transfer encoding is one of RFC 2045 §6."""
    return part.encoding in _DECODINGS


async def decoded(body: Body, part: Part) -> AsyncIterator[bytes]:
    """The part's content without its transfer encoding; one of an unknown encoding as it stands."""
    decoding = _DECODINGS.get(part.encoding, _AsItStands)()
    async for block in body.span(part.start, part.end):
        piece = decoding.feed(block)
        if piece:
            yield piece
    piece = decoding.end()
    if piece:
        yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A message taken apart as a reader sees it; ``odd`` names what such a view leaves out, None where nothing."""

    text: Part | None = None
    html: Part | None = None
    files: tuple[Part, ...] = ()
    odd: str | None = None


def anatomy(root: Part) -> Anatomy:
    """The texts that a reader sees first, and every other leaf as a file, in their order."""
    walk = _Walk()
    walk.take(root, main=True)
    return Anatomy(text=walk.text, html=walk.html, files=tuple(walk.files), odd=walk.odd)


class _Walk:
    def __init__(self) -> None:
        self.text: Part | None = None
        self.html: Part | None = None
        self.files: list[Part] = []
        self.odd: str | None = None

    def take(self, part: Part, *, main: bool) -> None:
        if not part.type.startswith("multipart/"):
            self._leaf(part, main=main)
            return
        if not part.parts:
            self._note(f"an empty or unreadable {part.type}")
            self.files.append(part)
        match part.type:
            case "multipart/mixed" | "multipart/related":
                self._in_turn(part.parts, main=main)
            case "multipart/alternative" if main:
                self._alternatives(part.parts)
            case _:
                self._note(f"the structure of a {part.type}")
                self._in_turn(part.parts, main=main)

    def _in_turn(self, parts: Sequence[Part], *, main: bool) -> None:
        for number, part in enumerate(parts):
            self.take(part, main=main and not number)

    def _alternatives(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if part.type not in {"text/plain", "text/html", "multipart/related", "multipart/mixed"}:
                self._note(f"an alternative of type {part.type}")
            self.take(part, main=True)

    def _leaf(self, part: Part, *, main: bool) -> None:
        shown = main and part.disposition != "attachment"
        if shown and part.type == "text/plain" and self.text is None and self.html is None:
            self.text = part
        elif shown and part.type == "text/html" and self.html is None:
            self.html = part
        else:
            self.files.append(part)
        if part.type in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
            self._note(f"the signature or encryption of {part.type}")
        if not decodable(part):
            self._note(f"a part in the transfer encoding {part.encoding!r}")

    def _note(self, odd: str) -> None:
        self.odd = self.odd or odd


def _parameter(value: object) -> str:
    """A header parameter as text; RFC 2231 §4 gives a triple of charset, language and value."""
    return collapse_rfc2231_value(value) if isinstance(value, str | tuple) else ""
