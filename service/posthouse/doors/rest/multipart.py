"""Reads multipart/form-data (RFC 7578) part by part while it arrives; no part lies in memory as a whole."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from posthouse.refusal import Condition, FieldError, Refused

PARTS: Final = 251
"""Parts of a form: the message and 250 files."""
PART_HEADERS: Final = 16
PART_HEADER_BYTES: Final = 4_096
"""Fields in the header of a part, and octets of one."""

_MARK: Final = object()


@dataclass(slots=True)
class FormPart:
    """One part; its ``blocks`` must be read to their end before the next one is asked for."""

    name: str
    blocks: AsyncIterator[bytes] = field(repr=False)


class Form:
    """The parts of a form in the order in which they come."""

    def __init__(self, body: AsyncIterator[bytes], content_type: bytes) -> None:
        self._body = body
        self._events: deque[bytes | object] = deque()
        self._header: list[tuple[bytes, bytes]] = []
        self._field, self._value = bytearray(), bytearray()
        self._count = 0
        self._complete = False
        self._parser = self._made(content_type)

    async def next(self) -> FormPart | None:
        """The next part, None after the last; raises Refused for what is no form."""
        if not await self._ready():
            return None
        name = self._events.popleft()
        return FormPart(name if isinstance(name, str) else "", self._blocks())

    async def _blocks(self) -> AsyncIterator[bytes]:
        while await self._ready():
            event = self._events.popleft()
            if not isinstance(event, bytes):
                return
            yield event

    async def _ready(self) -> bool:
        """Whether there is an event; False at the end of a complete form."""
        while not self._events:
            block = await anext(self._body, None)
            if block is None:
                if not self._complete:
                    raise _no_form("its last boundary is missing")
                return False
            try:
                self._parser.write(block)
            except FormParserError as fault:
                raise _no_form(str(fault)) from None
        return True

    def _made(self, content_type: bytes) -> MultipartParser:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise _no_form("Content-Type has no boundary")
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_begin,
                    "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": lambda data, start, end: self._events.append(bytes(data[start:end])),
                    "on_part_end": lambda: self._events.append(_MARK),
                    "on_end": self._on_end,
                },
                max_header_count=PART_HEADERS,
                max_header_size=PART_HEADER_BYTES,
            )
        except FormParserError as fault:
            raise _no_form(str(fault)) from None

    def _on_begin(self) -> None:
        self._header.clear()
        self._count += 1
        if self._count > PARTS:
            raise _no_form(f"it has more than {PARTS} parts")

    def _on_header(self) -> None:
        self._header.append((bytes(self._field).lower(), bytes(self._value)))
        self._field.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        kind, options = parse_options_header(dict(self._header).get(b"content-disposition"))
        name = options.get(b"name", b"")
        if kind != b"form-data" or not name:
            raise _no_form("every part has Content-Disposition: form-data with a name")
        try:
            self._events.append(name.decode())
        except UnicodeDecodeError:
            raise _no_form("the name of a part is UTF-8") from None

    def _on_end(self) -> None:
        self._complete = True


def _no_form(why: str) -> Refused:
    detail = f"the body cannot be read as multipart/form-data: {why}"
    return Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("", detail),))
