"""TLS from the first byte, with a word for who did not manage it: asyncio's own listeners drop them in silence."""

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

from posthouse.clients.keeping import Keeper
from posthouse.doors.problems import TLS_FAILED

Failed = Callable[[str, str], None]
"""Told of the source and the reason of a handshake that failed."""

_SILENT: Final = "it closed the connection during the handshake"


class Handshake(asyncio.Protocol):
    """Comes before the protocol of a listener, and gives the connection on to it once it is encrypted.

    Who only opens and closes is no news: balancers look in this way whether somebody listens.
    """

    def __init__(self, inner: asyncio.Protocol, context: ssl.SSLContext, *, failed: Failed) -> None:
        self._inner = inner
        self._context = context
        self._failed = failed
        self._early = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; nothing is read before the handshake reads it."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("TLS needs a stream")
        transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._shake(transport))

    def data_received(self, data: bytes) -> None:
        """Keep what came with the last message of the handshake: it is decrypted before ``start_tls`` returns."""
        self._early += data

    async def _shake(self, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("peername")
        loop = asyncio.get_running_loop()
        try:
            above = await loop.start_tls(transport, self, self._context, server_side=True)
        except (OSError, EOFError) as error:
            transport.abort()
            if isinstance(error, ssl.SSLError):
                self._failed(str(peer[0]) if peer else "", reason(error))
            return
        if above is None or above.is_closing():
            return
        above.set_protocol(self._inner)
        self._inner.connection_made(above)
        if self._early:
            self._inner.data_received(self._early)


def reason(error: Exception) -> str:
    """OpenSSL's word for what went wrong, where it has one."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    return _SILENT


def listed(keeper: Keeper, *, door: str) -> Failed:
    """Who fails is found in the list of refusals."""
    return partial(keeper.turned_away, door=door, code=TLS_FAILED)
