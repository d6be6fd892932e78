"""Reads and edits raw RFC 5322 header blocks; what an edit does not touch stays byte for byte the same."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pybase64

from posthouse.encoded import (
    ADDRESS,
    FIELD_NAME,
    HEADER_LIMIT,
    LINE_LIMIT,
    MSG_ID,
    MSG_ID_LIMIT,
    Unfit,
    fold,
    unstructured,
    words,
)

_FIELD: Final = re.compile(rb"(?:[^\n]*\n|[^\n]+\Z)(?:[ \t][^\n]*(?:\n|\Z))*")
_NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_ENCODED_WORD: Final = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_TOKEN: Final = re.compile(
    r"(?P<space>[ \t]+)|(?P<quoted>\"(?:[^\"\\]|\\.)*+\")|(?P<literal>\[[^\[\]\\]*+\])|(?P<comment>\()"
    r"|(?P<mark>[<>,:;])|(?P<atom>[^ \t\"(),:;<>\[\]\\]+)|(?P<bad>\".*|.)",
    re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"\\.|[()]", re.DOTALL)
_UNTIDY: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")

_Tokens = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Field:
    """One header field with its place in the block; ``name`` as written, empty where the line is no field at all."""

    name: str
    start: int
    end: int
    raw: bytes = field(repr=False)

    @property
    def value(self) -> bytes:
        """The field's body, unfolded (RFC 5322 §2.2.3), without white space around it."""
        _, _, body = self.raw.partition(b":")
        return (body if self.name else self.raw).replace(b"\r\n", b"").strip(b" \t")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A header block whose recipients are the envelope's: those added as Bcc, and what was taken out, as written."""

    header: bytes = field(repr=False)
    added_bcc: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One element of an address list as written; ``address`` is None where it is no mailbox."""

    text: str
    address: str | None


def fields(block: bytes) -> tuple[Field, ...]:
    """The fields in order; their spans cover the block without a gap."""
    found: list[Field] = []
    for match in _FIELD.finditer(block):
        raw = match[0]
        name = _NAME.match(raw)
        found.append(Field(name[1].decode() if name else "", match.start(), match.end(), raw))
    return tuple(found)


def values(block: bytes, name: str) -> list[str]:
    """The values of all fields of that name, encoded words decoded (RFC 2047 §6); what cannot be decoded stays."""
    return [decoded_words(as_text(one.value)) for one in _named(block, name)]


def as_text(raw: bytes) -> str:
    """Header bytes as text: UTF-8 (RFC 6532), else Latin-1."""
    return raw.decode() if _is_utf8(raw) else raw.decode("latin-1")


def decoded_words(text: str) -> str:
    """The text with its encoded words decoded (RFC 2047 §6); what cannot be decoded stays.

    Neighbouring encoded words of one charset are joined before decoding: some writers split characters.
    """
    pieces: list[str] = []
    charset, pending, end = "", b"", 0
    for word in _ENCODED_WORD.finditer(text):
        gap = text[end : word.start()]
        adjacent = bool(charset) and not gap.strip(" \t")
        if not adjacent or word[1].lower() != charset:
            pieces += (_in_charset(pending, charset), "" if adjacent else gap)
            pending = b""
        charset, pending, end = word[1].lower(), pending + _payload(word[2], word[3]), word.end()
    return "".join((*pieces, _in_charset(pending, charset), text[end:]))


def without(block: bytes, *names: str) -> bytes:
    """The block without the fields of these names."""
    gone = {name.lower() for name in names}
    return b"".join(one.raw for one in fields(block) if one.name.lower() not in gone)


def with_field(block: bytes, name: str, value: str) -> bytes:
    """The block with one more field at its end, folded and encoded as needed; raises Unfit for control characters."""
    if not FIELD_NAME.fullmatch(name):
        raise Unfit("", "a header name is 1 to 75 visible ASCII characters without a colon (RFC 5322 §3.6.8)")
    return block + unstructured(name, value, at=f"/headers/{name}").encode()


def addresses(block: bytes, name: str) -> tuple[str, ...]:
    """The addr-specs of all fields of that name as written, groups opened, comments left out; others are skipped."""
    return tuple(entry.address for one in _named(block, name) for entry in _entries(one)[0] if entry.address)


def people(block: bytes, name: str) -> tuple[tuple[str, str], ...]:
    """Display name, decoded and perhaps empty, and addr-spec of every mailbox in all fields of that name."""
    found = (entry for one in _named(block, name) for entry in _entries(one)[0])
    return tuple((_shown_name(entry.text), entry.address) for entry in found if entry.address)


def elements(block: bytes, name: str) -> tuple[tuple[str, str | None], ...]:
    """All elements of that name's address lists in order: as written, and the addr-spec of those that are mailboxes."""
    return tuple((entry.text, entry.address) for one in _named(block, name) for entry in _entries(one)[0])


def malformed(block: bytes, name: str) -> tuple[str, ...]:
    """The elements of that name's address lists that are no mailbox (RFC 5322 §3.4), as written."""
    return tuple(text for text, address in elements(block, name) if address is None)


def is_msg_id(text: str) -> bool:
    """Whether text is a msg-id (RFC 5322 §3.6.4) in ASCII, also with a quoted left side, that fits on its line."""
    return len(text) <= MSG_ID_LIMIT and MSG_ID.fullmatch(text) is not None


def split(raw: bytes) -> tuple[bytes, bytes]:
    """The header block (without the blank line) and the body of a message with CRLF line ends."""
    if raw.startswith(b"\r\n"):
        return b"", raw[2:]
    place = raw.find(b"\r\n\r\n")
    return (raw, b"") if place < 0 else (raw[: place + 2], raw[place + 4 :])


def canonical(raw: bytes) -> bytes:
    """The same lines, each ended by CRLF: a bare LF or CR becomes one (HOUSE, the REST door)."""
    if _only_crlf(raw):
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def problems(raw: bytes) -> list[str]:
    """The rules that a message, or its beginning up to at least the blank line, breaks; empty where it is sound.

    RFC 5322 §2.1.1, §2.2, §3.5 and §3.6, RFC 6532 §3.2, and the 256 KB of FACTS A4.
    """
    header, _ = split(raw)
    found = fields(header)
    senders = sum(one.name.lower() == "from" for one in found)
    longest = max(map(len, raw.split(b"\r\n")))
    rules = {
        "a blank line stands between header and body": raw.startswith(b"\r\n") or b"\r\n\r\n" in raw,
        "every line of the header is a field or continues one": all(one.name for one in found),
        "a message holds no NUL": b"\0" not in raw,
        "every line ends with CRLF": _only_crlf(raw),
        f"a line has at most {LINE_LIMIT} octets, the longest here has {longest}": longest <= LINE_LIMIT,
        f"a header has at most {HEADER_LIMIT} octets, this one has {len(header)}": len(header) <= HEADER_LIMIT,
        "a header is ASCII or UTF-8": _is_utf8(header),
        f"a message has one From field, this one has {senders}": senders == 1,
    }
    return [rule for rule, kept in rules.items() if not kept]


def fit_to_envelope(block: bytes, *, recipients: Sequence[str]) -> Edit:
    """The block whose To, Cc and Bcc name exactly ``recipients`` (PROMISES §8); raises Unfit where one is no address.

    To and Cc stay as they are unless they name somebody else or cannot be read for certain; then they are written
    anew with what remains. Addresses are compared without regard to case, as Exchange does.
    """
    missing = {_same(address): address for address in recipients}
    wanted = missing.copy()
    kept: list[bytes] = []
    dropped: list[str] = []
    for one in fields(block):
        lower = one.name.lower()
        if lower not in ("to", "cc", "bcc"):
            kept.append(one.raw)
            continue
        entries, certain = _entries(one)
        stay = [] if lower == "bcc" else [entry for entry in entries if _key(entry) in wanted]
        dropped += (entry.address or entry.text for entry in entries if _key(entry) not in wanted)
        kept.append(one.raw if certain and len(stay) == len(entries) and lower != "bcc" else _rebuilt(one.name, stay))
        for entry in stay:
            missing.pop(_key(entry), None)
    added = tuple(missing.values())
    return Edit(header=b"".join(kept) + _bcc(added), added_bcc=added, dropped=tuple(dropped))


def _named(block: bytes, name: str) -> Iterator[Field]:
    lower = name.lower()
    return (one for one in fields(block) if one.name.lower() == lower)


def _only_crlf(raw: bytes) -> bool:
    return raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _payload(encoding: str, written: str) -> bytes:
    data = written.encode()
    if encoding in "qQ":
        return _HEX.sub(lambda pair: bytes.fromhex(pair[1].decode()), data.replace(b"_", b" "))
    sound = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    sound = sound[: len(sound) - (len(sound) % 4 == 1)]
    return pybase64.b64decode(sound + b"=" * (-len(sound) % 4))


def _in_charset(data: bytes, charset: str) -> str:
    try:
        text = data.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # an unknown charset, or a codec that is not for text
        text = data.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()  # a codec with escapes can give lone surrogates


def _entries(one: Field) -> tuple[list[_Entry], bool]:
    """The elements of an address list, and whether it was read without any doubt."""
    text = one.value.decode("utf-8", "surrogateescape")
    certain, group, closed = not _UNTIDY.search(text), False, False
    found: list[_Entry] = []
    for tokens, written, stop in _segments(text):
        if stop == ":":
            certain = certain and not group and not closed and _is_phrase(tokens) and bool(written.strip(" \t"))
            group = True
            continue
        entry, clean = _entry(tokens, written)
        certain = certain and clean and not (closed and entry)
        found += [entry] if entry else []
        certain = certain and (group or stop != ";")
        group, closed = group and stop != ";", stop == ";"
    if _UNTIDY.search(text):
        found = [_Entry(entry.address or entry.text, entry.address) for entry in found]
    return found, certain and not group


def _segments(text: str) -> Iterator[tuple[_Tokens, str, str]]:
    """The list cut at the commas, colons and semicolons that stand outside of angle brackets."""
    tokens: list[tuple[str, str]] = []
    start, angle = 0, False
    for kind, word, at in _tokens(text):
        if kind == "mark" and word not in "<>" and not angle:
            yield tokens, text[start:at], word
            tokens, start = [], at + 1
            continue
        if kind == "mark" and word in "<>":
            angle = word == "<"
        tokens.append((kind, word))
    yield tokens, text[start:], ""


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    place = 0
    while match := _TOKEN.match(text, place):
        kind, place = str(match.lastgroup), match.end()
        if kind == "comment":
            depth = 1
            while depth and (edge := _COMMENT_EDGE.search(text, place)):
                depth += {"(": 1, ")": -1}.get(edge[0], 0)
                place = edge.end()
            kind = "bad" if depth else "space"
        yield kind, match[0], match.start()


def _entry(tokens: _Tokens, written: str) -> tuple[_Entry | None, bool]:
    """The element that these tokens make, if any; whether it keeps RFC 5322 §3.4 to the letter."""
    solid = [index for index, (kind, _) in enumerate(tokens) if kind != "space"]
    if not solid:
        return None, True
    text = written.strip(" \t")
    marks = [index for index in solid if tokens[index][0] == "mark"]
    if not marks:
        address = _spec(tokens)
        return _Entry(text, address), address is not None
    first, last = marks[0], marks[-1]
    closed = [tokens[index][1] for index in marks] == ["<", ">"] and last == solid[-1]
    address = _spec(tokens[first + 1 : last]) if closed else None
    clean = address is not None and _is_phrase(tokens[:first])
    return _Entry(text if clean or address is None else f"<{address}>", address), clean


def _is_phrase(tokens: _Tokens) -> bool:
    return all(kind in ("space", "quoted") or (kind == "atom" and "@" not in word) for kind, word in tokens)


def _spec(tokens: _Tokens) -> str | None:
    """The addr-spec of these tokens; white space and comments may stand only around dots and the @ (RFC 5322 §4.4)."""
    pieces: list[str] = []
    gap = False
    for kind, word in tokens:
        if kind == "space":
            gap = True
            continue
        if gap and pieces and pieces[-1][-1] not in ".@" and word[0] not in ".@":
            return None
        pieces.append(word)
        gap = False
    spec = "".join(pieces)
    return spec if ADDRESS.fullmatch(spec) else None


def _shown_name(text: str) -> str:
    """The phrase before the angle bracket, without quotes (RFC 5322 §3.2.4, §3.2.5) and encoded words."""
    phrase, bracket, _ = text.rpartition("<")
    phrase = phrase.strip(" \t") if bracket else ""
    if len(phrase) > 1 and phrase[0] == phrase[-1] == '"':
        phrase = _QUOTED_PAIR.sub(r"\1", phrase[1:-1])
    return decoded_words(phrase).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _key(entry: _Entry) -> str:
    return _same(entry.address) if entry.address else ""


def _same(address: str) -> str:
    """One form for all ways to write an address: case, needless quotes, A-labels (RFC 5890 §2.3.2.1) and U-labels."""
    local, _, domain = unicodedata.normalize("NFC", address).rpartition("@")
    if local[:1] == '"':
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    labels = (_u_label(label) for label in domain.lower().split("."))
    return f"{local.lower()}@{'.'.join(labels)}"


def _u_label(label: str) -> str:
    try:
        return label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
    except ValueError:
        return label


def _rebuilt(name: str, entries: Sequence[_Entry]) -> bytes:
    if not entries:
        return b""
    pieces = [piece for entry in entries for piece in words(f"{entry.text},")]
    pieces[-1] = pieces[-1].removesuffix(",")
    return fold(name, pieces).encode("utf-8", "surrogateescape")


def _bcc(recipients: Sequence[str]) -> bytes:
    for address in recipients:
        if not ADDRESS.fullmatch(address):
            raise Unfit("", "a recipient is local-part@domain (RFC 5322 §3.4.1)")
    return _rebuilt("Bcc", [_Entry(address, address) for address in recipients])
