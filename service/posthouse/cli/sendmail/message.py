"""The message on standard input, made whole as sendmail does: who it is from, to whom it goes, addresses with domains."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formataddr
from typing import IO, Final, NamedTuple

from posthouse import headers as edit
from posthouse.cli.sendmail.options import Options
from posthouse.cli.sendmail.settings import SendmailSettings
from posthouse.cli.sendmail.sysexits import Ended, Exit

_IN_MEMORY: Final = 1_048_576
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_LOCAL: Final = re.compile(
    r"(?P<phrase>[^<>@]*)<(?P<angle>[^\s@<>()\",;:]+)>|(?P<bare>[^\s@<>()\",;:]+)[ \t]*(?:\((?P<comment>[^()]*)\))?"
)
_DOT: Final = (b".\n", b".\r\n", b".")
_RECIPIENTS: Final = ("To", "Cc", "Bcc")
_RESENT: Final = ("Resent-To", "Resent-Cc", "Resent-Bcc")
_PEOPLE: Final = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc")
_SENDING: Final = ("From", "Sender", "Reply-To")


@dataclass(frozen=True, slots=True)
class Read:
    """What stood on standard input: header lines, each ended by CRLF, and the rest as it came."""

    header: bytes = field(repr=False)
    body: IO[bytes] = field(repr=False)
    size: int

    def blocks(self, header: bytes) -> Iterator[bytes]:
        """The message under this header, from its beginning, as often as wanted."""
        yield header + b"\r\n"
        self.body.seek(0)
        while block := self.body.read(65_536):
            yield block


@dataclass(frozen=True, slots=True)
class Whole:
    """The header as it is submitted, and everybody who gets the message."""

    header: bytes = field(repr=False)
    recipients: tuple[str, ...]


def read(lines: Iterable[bytes], *, dots: bool) -> Read:
    """Everything up to the end, or to a lone dot unless ``dots`` are ordinary lines.

    The header ends at a blank line, or before the first line that can be none of it.
    """
    source = (line for line in _until_dot(lines, dots=dots))
    header: list[bytes] = []
    body: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it lives as long as the message
    for line in source:
        if not header and line.startswith(b"From "):
            continue  # a mailbox file's line (RFC 4155) is no field
        if not _FIELD.match(line) and not (header and line[:1] in (b" ", b"\t") and line.strip()):
            if line.strip(b"\r\n"):
                body.write(line)
            break
        header.append(line.rstrip(b"\r\n") + b"\r\n")
    for line in source:
        body.write(line)
    return Read(b"".join(header), body, body.tell())


def whole(header: bytes, options: Options, settings: SendmailSettings, *, user: Callable[[], str]) -> Whole:
    """The header with every address complete, and the recipients; raises Ended (USAGE, DATAERR, NOUSER)."""
    recipients = _recipients(header, options, settings)
    header = edit.without(header, "Resent-Bcc")
    for name in _PEOPLE:
        header = _completed(header, name, settings)
    if not edit.values(header, "From"):
        header += _from(options, settings, user)
    return Whole(_rewritten(header, settings), recipients)


def _until_dot(lines: Iterable[bytes], *, dots: bool) -> Iterator[bytes]:
    for line in lines:
        if not dots and line in _DOT:
            return
        yield line


def _recipients(header: bytes, options: Options, settings: SendmailSettings) -> tuple[str, ...]:
    """Those of the command line, with -t those of the header besides, as Postfix does; each once, aliases resolved."""
    if not options.recipients and not options.from_header:
        raise Ended(Exit.USAGE, "recipients are missing: on the command line, or in the header with -t")
    blocks = [(f"To: {text}\r\n".encode("utf-8", "surrogateescape"), "To") for text in options.recipients]
    if options.from_header:
        resent = any(edit.elements(header, name) for name in _RESENT)
        blocks += [(header, name) for name in (_RESENT if resent else _RECIPIENTS)]
    found: dict[str, str] = {}
    for block, name in blocks:
        for text, address in edit.elements(block, name):
            local = None if address else _local(text)
            if not address and local is None:
                raise Ended(Exit.NOUSER, f"{text[:100]!r} is no address")
            for one in _resolved(local.address, settings) if local else (str(address),):
                found.setdefault(one.lower(), one)
    if not found:
        raise Ended(Exit.DATAERR, "there is no recipient in To, Cc or Bcc")
    return tuple(found.values())


class _Local(NamedTuple):
    """An element without a domain."""

    name: str
    address: str


def _local(text: str) -> _Local | None:
    """``root``, ``root (Cron Daemon)``, ``Cron Daemon <root>``."""
    found = _LOCAL.fullmatch(text)
    if found is None:
        return None
    name = found["phrase"] or found["comment"] or ""
    return _Local(name.strip(' "'), found["angle"] or found["bare"])


def _resolved(local: str, settings: SendmailSettings) -> Sequence[str]:
    return settings.aliases.get(local.lower()) or (settings.completed(local),)


def _completed(header: bytes, name: str, settings: SendmailSettings) -> bytes:
    """The fields written anew in which an address has no domain; the others stay byte for byte."""
    pieces: list[bytes] = []
    for one in edit.fields(header):
        elements = edit.elements(one.raw, name)
        locals_ = {text: local for text, address in elements if not address and (local := _local(text))}
        if not locals_:
            pieces.append(one.raw)
            continue
        written: list[str] = []
        for text, _ in elements:
            local = locals_.get(text)
            if local is None:
                written.append(text)
                continue
            found = (settings.completed(local.address),) if name in _SENDING else _resolved(local.address, settings)
            written += (_person(local.name, address) for address in found)
        pieces.append(_field(one.name, written))
    return b"".join(pieces)


def _from(options: Options, settings: SendmailSettings, user: Callable[[], str]) -> bytes:
    """From as sendmail adds it: -f and -F, else who calls."""
    sender = (options.sender or "").strip("<> ") or user()
    return _field("From", [_person(options.name or "", settings.completed(sender))])


def _rewritten(header: bytes, settings: SendmailSettings) -> bytes:
    """From as the settings say; who stood there is its name, and gets the answers."""
    if not settings.rewrite_from:
        return header
    people = edit.people(header, "From")
    name, address = people[0] if people else ("", settings.rewrite_from)
    if len(people) == 1 and address.lower() == settings.rewrite_from.lower():
        return header
    header = edit.without(header, "From", "Sender") + _field("From", [_person(name or address, settings.rewrite_from)])
    if not edit.values(header, "Reply-To"):
        header += _field("Reply-To", [address])
    return header


def _person(name: str, address: str) -> str:
    sound = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return formataddr((edit.decoded_words(sound), address))


def _field(name: str, written: Sequence[str]) -> bytes:
    return (f"{name}: " + ",\r\n ".join(written) + "\r\n").encode("utf-8", "surrogateescape")
