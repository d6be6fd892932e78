"""A request's body as it arrives: in blocks, no faster than they are used, and no slower than somebody who means it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.types import Receive

from posthouse.refusal import Condition, Refused

SILENCE: Final = 30.0
"""Seconds without a byte after which a client is cut."""
START: Final = 60.0
"""Seconds that any body may take, whatever its size."""
SLOWEST: Final = 10_000
"""Bytes a second below which a client, after the start, is cut: it would keep a connection and a stored body for hours."""


class GoneError(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


async def arriving(receive: Receive, *, monotonic: Callable[[], float]) -> AsyncIterator[bytes]:
    """The blocks of a body, none of them empty; raises GoneError, or Refused(REQUEST_TIMEOUT) for a client too slow."""
    begun, size, more = monotonic(), 0, True
    while more:
        patience = min(SILENCE, begun + START + size / SLOWEST - monotonic())
        try:
            async with asyncio.timeout(max(patience, 0.0)):
                message = await receive()
        except TimeoutError:
            detail = f"the body came too slowly: {size} bytes in {monotonic() - begun:.0f} s; nothing was accepted"
            raise Refused(Condition.REQUEST_TIMEOUT, detail) from None
        if message["type"] != "http.request":
            raise GoneError
        block, more = message.get("body", b""), message.get("more_body", False)
        if block:
            size += len(block)
            yield block
