"""Writes single header values as RFC 5322, 2047, 2231 and 6532 want them: nothing that leaves here can begin a new field."""

import re
from collections.abc import Sequence
from typing import Final

import pybase64

WIDTH: Final = 76
"""Characters a header line aims at: RFC 2047 §2 for lines with encoded words, below the 78 of RFC 5322 §2.1.1."""

LINE_LIMIT: Final = 998
"""Octets of the longest line without its CRLF (RFC 5322 §2.1.1)."""

HEADER_LIMIT: Final = 262_144
"""Octets of all header fields together that Exchange takes (FACTS A4: 256 KB)."""

_ATEXT: Final = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_BEYOND: Final = (  # RFC 6532 §3.1 without white space, controls, invisible and direction marks, surrogates
    r"\u00a1-\u167f\u1681-\u1fff\u200c\u200d\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff\ue000-\ufefe"
    r"\uff00-\U0010ffff"
)
_QUOTED: Final = r"\"(?:[!#-\[\]-~]|\\[!-~])+\""
_LITERAL: Final = r"\[[!-Z^-~]+\]"

ADDRESS: Final = re.compile(
    rf"(?:[{_ATEXT}{_BEYOND}]++(?:\.[{_ATEXT}{_BEYOND}]++)*+|\"(?:[ !#-\[\]-~{_BEYOND}]|\\[ -~])+\")"
    rf"@(?:[{_ATEXT}{_BEYOND}]++(?:\.[{_ATEXT}{_BEYOND}]++)*+|{_LITERAL})"
)
"""An addr-spec (RFC 5322 §3.4.1, RFC 6532 §3.2) without comments, folding or obsolete forms."""

MSG_ID: Final = re.compile(
    rf"<(?:[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+|{_QUOTED})@(?:[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+|{_LITERAL})>"
)
"""A msg-id (RFC 5322 §3.6.4), its left side also as the quoted string of RFC 2822."""

MSG_ID_LIMIT: Final = LINE_LIMIT - len("Message-ID: ")
"""Characters of the longest msg-id that fits its line."""
ORDERS: Final = (
    "Idempotency-Key and X-Posthouse-* in the header of a mail are read at the SMTP door alone; here the key is a header of "
    "the request, and priority, expiry, reference and tags are fields of it"
)

FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,75}")
"""A field name (RFC 5322 §3.6.8) of a length that leaves room on its line."""

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+")
"""A token (RFC 2045 §5.1)."""

_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ATOMS: Final = re.compile(rf"[{_ATEXT}]+(?: [{_ATEXT}]+)*")
_PLAIN: Final = re.compile(r"[!#-;=?-\[\]-~]+(?: [!#-;=?-\[\]-~]+)*")  # the library takes <> off a quoted value
_BREAK: Final = re.compile(r"(?<=[^ \t])[ \t](?=[ \t]*[^ \t])")
_BARE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ADDRESS_LIMIT: Final = 320  # octets: 64 + "@" + 255 (RFC 5321 §4.5.3.1)
_WORD_LIMIT: Final = 900  # a longer run without a place to fold is cut by encoded words
_PARAMETER_LIMIT: Final = 60
_WORD_BYTES: Final = 39  # 52 base64 characters in the frame: 64, which fits behind "Reply-To: " and below RFC 2047's 75
_WORD_FRAME: Final = len("=?utf-8?b??=")


class Unfit(ValueError):
    """A value cannot be part of a message; ``pointer`` is its JSON pointer (RFC 6901), the text names the rule."""

    def __init__(self, pointer: str, rule: str) -> None:
        super().__init__(rule)
        self.pointer = pointer


def checked(value: str, *, at: str) -> str:
    """The value itself; raises Unfit where it holds CR, LF, NUL, any other control character or a lone surrogate."""
    if not value.isprintable() and _FORBIDDEN.search(value):
        raise Unfit(at, "a header value holds no line break, control character or lone surrogate (RFC 5322 §2.2)")
    return value


def fold(name: str, pieces: Sequence[str]) -> str:
    """The field with its pieces joined by single spaces, the only places where it is folded; its first line has one."""
    line = f"{name}: {' '.join(pieces)}"
    if len(line) <= WIDTH:
        return line + "\r\n"
    lines: list[str] = []
    line = f"{name}: {pieces[0]}"
    for piece in pieces[1:]:
        if len(line) + 1 + len(piece) > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {piece}"
    return "\r\n".join((*lines, line, ""))


def words(value: str) -> list[str]:
    """The value cut at every place where it may be folded; each piece keeps further white space before it."""
    return _BREAK.split(value)


def unstructured(name: str, value: str, *, at: str) -> str:
    """The field (RFC 5322 §2.2.1) that reads back as exactly ``value``; raises Unfit as ``checked`` does."""
    checked(value, at=at)
    if not value.isascii() or "=?" in value or value.strip(" ") != value:
        return fold(name, encoded_words(value, first=_room(name)))
    if len(value) < WIDTH - len(name) - 2:
        return f"{name}: {value}\r\n" if value else f"{name}:\r\n"
    pieces = words(value)
    long = any(len(piece) > _WORD_LIMIT for piece in pieces)
    return fold(name, encoded_words(value, first=_room(name)) if long else pieces)


def _room(name: str) -> int:
    """Octets of the encoded word that stands on the line of the name, where some parsers want the value to begin."""
    return max((WIDTH - len(name) - 2 - _WORD_FRAME) // 4 * 3, 6)


def encoded_words(text: str, *, first: int = _WORD_BYTES) -> list[str]:
    """Encoded words (RFC 2047 §2, §5) that never split a character; ``first`` is the octets in the first one."""
    data = text.encode()
    found: list[str] = []
    start = 0
    while start < len(data):
        end = min(start + (_WORD_BYTES if found else min(first, _WORD_BYTES)), len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # noqa: PLR2004 - a UTF-8 continuation byte (RFC 3629 §3)
            end -= 1
        found.append(f"=?utf-8?b?{pybase64.b64encode_as_string(data[start:end])}?=")
        start = end
    return found


def mailbox(name: str, address: str, *, at: str) -> list[str]:
    """The pieces of a mailbox (RFC 5322 §3.4); raises Unfit where the address is none or the name holds controls."""
    if not ADDRESS.fullmatch(address) or len(address.encode()) > _ADDRESS_LIMIT:
        raise Unfit(at, "an address is local-part@domain of at most 320 octets (RFC 5322 §3.4.1, RFC 6532 §3.2)")
    if not name:
        return [address]
    return [*_phrase(checked(name, at=at)), f"<{address}>"]


def _phrase(name: str) -> list[str]:
    """A phrase (RFC 5322 §3.2.5): atoms, else one quoted string, which folds at its spaces, else encoded words."""
    if not name.isascii() or "=?" in name or name.strip(" ") != name or "  " in name:
        return encoded_words(name)
    if len(name) < WIDTH and _ATOMS.fullmatch(name):
        return [name]
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    pieces = f'"{quoted}"'.split(" ")
    return encoded_words(name) if any(len(piece) > _WORD_LIMIT for piece in pieces) else pieces


def is_order(name: str) -> bool:
    """Whether a header field says what the service shall do: at the doors that do not read it there, it would be lost unnoticed."""
    return name.lower() == "idempotency-key" or name.lower().startswith("x-posthouse-")


def parameter(name: str, value: str, *, at: str) -> str:
    """A MIME parameter on lines of its own, beginning with ``;``: quoted, or as RFC 2231 §3 and §4 where it must be."""
    checked(value, at=at)
    if len(value) <= _PARAMETER_LIMIT and _PLAIN.fullmatch(value) and "=?" not in value:
        return f';\r\n {name}="{value}"'
    coded = [_percent(character) for character in value]
    whole = f";\r\n {name}*=utf-8''{''.join(coded)}"
    if len(whole) <= WIDTH:
        return whole
    sections: list[str] = []
    section = f" {name}*0*=utf-8''"
    for character in coded:
        if len(section) + len(character) >= WIDTH:
            sections.append(section)
            section = f" {name}*{len(sections)}*="
        section += character
    return ";\r\n" + ";\r\n".join((*sections, section))


def _percent(character: str) -> str:
    return character if character in _BARE else "".join(f"%{byte:02X}" for byte in character.encode())


def base64_lines(data: bytes) -> bytes:
    """Base64 in lines of 76 characters with CRLF between them (RFC 2045 §6.8), none after the last."""
    return pybase64.encodebytes(data)[:-1].replace(b"\n", b"\r\n")
