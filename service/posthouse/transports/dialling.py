"""Connections by whichever address of a name answers first: one family of addresses that is broken costs a moment, not the mail."""

import asyncio
import socket
from typing import Final

from aiohappyeyeballs import start_connection

NEXT_ADDRESS_SECONDS: Final = 0.25
"""After which the next address is tried beside the one that does not answer (RFC 8305 §5), as aiohttp does for Graph."""


class NoConnectionInTimeError(TimeoutError):
    """No address of the name answered in time."""


async def dial(host: str, port: int, *, seconds: float) -> socket.socket:
    """A connected socket; raises NoConnectionInTimeError, else what the resolver or the last address said (OSError)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
    except TimeoutError as error:
        raise NoConnectionInTimeError(f"no connection to {host}:{port} in time") from error
