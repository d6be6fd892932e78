"""The content of DATA: dot-stuffed blocks (RFC 5321 §4.5.2), poured out no quicker than the other side reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

from aiosmtplib import SMTP, SMTPServerDisconnected

from posthouse.message import Content

HIGH_WATER: Final = 1_048_576
"""Bytes that may wait in the connection's buffer (SDK §7: 1.4 MB peak for any size)."""

_POLL: Final = 0.01


class StalledError(Exception):
    """The other side stopped reading."""


async def stuffed(content: Content) -> AsyncIterator[bytes]:
    """The message as lines of DATA, ended by CRLF, without the final dot; raises ValueError for a wrong size."""
    carry, left = b"\r\n", content.size
    pending = content.header + b"\r\n"
    async for block in content.body.blocks():
        left -= len(pending)
        yield _dotted(carry, pending)
        carry, pending = (carry + pending)[-2:], block
    if len(pending) != left:
        raise ValueError("the content has another size than it says")
    end = b"" if (carry + pending).endswith(b"\r\n") else b"\r\n"
    yield _dotted(carry, pending) + end


async def pour(client: SMTP, content: Content, *, timeout: float, monotonic: Callable[[], float]) -> None:  # noqa: ASYNC109 - of no progress, not of the whole
    """Write all of it; raises SMTPServerDisconnected, StalledError after ``timeout`` seconds without progress."""
    async for piece in stuffed(content):
        if client.protocol is None:
            raise SMTPServerDisconnected("connection lost")
        client.protocol.write(piece)
        await _room(client, timeout, monotonic)


async def _room(client: SMTP, patience: float, monotonic: Callable[[], float]) -> None:
    waiting, since = _waiting(client), monotonic()
    while waiting > HIGH_WATER:
        await asyncio.sleep(_POLL)
        now = _waiting(client)
        if now < waiting:
            waiting, since = now, monotonic()
        elif monotonic() - since > patience:
            raise StalledError


def _waiting(client: SMTP) -> int:
    transport = client.transport
    if transport is None or transport.is_closing():
        raise SMTPServerDisconnected("connection lost")
    # not isinstance: uvloop's transports are no asyncio.WriteTransport, and all of a large mail would wait here
    return cast("asyncio.WriteTransport", transport).get_write_buffer_size()


def _dotted(carry: bytes, block: bytes) -> bytes:
    # a dot that begins a line may be parted from its CRLF by the edge of a block
    return (carry + block).replace(b"\r\n.", b"\r\n..")[len(carry) :]
