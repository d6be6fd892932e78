"""Where mail programs submit: an address with its sessions, opened and closed with the service."""

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import Final

from posthouse.clients.keys import Keys
from posthouse.doors.listener import ListenError, Tls, bind
from posthouse.doors.smtp.session import Submission, Tools
from posthouse.submission import DoorStep

MOST_OF_ONE: Final = 50
"""Connections of one source at once."""
PATIENCE: Final = 5.0
"""Seconds that a message under way has to arrive when the service stops."""
_LOOK: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen (``host:port``) and how: ``implicit`` TLS, and whether a login may be in ``clear``."""

    listen: str
    hostname: str
    certificate: Tls | None = None
    implicit: bool = False
    clear: bool = False


class SmtpListener:
    """One address; ``start`` returns when it answers, ``stop`` when the last message under way is answered."""

    def __init__(self, address: Address, *, step: DoorStep, keys: Keys) -> None:
        self._address = address
        self._step = step
        self._keys = keys
        self._open: dict[Submission, None] = {}
        self._sources: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.sockets[0].getsockname()[1] if self._server is not None else 0

    async def start(self) -> None:
        """Answer from now on.

        Raises:
            ListenError: the address is taken, or the certificate and its key do not fit.
        """
        address = self._address
        context = None if address.certificate is None else _context(address.listen, address.certificate)
        tools = Tools(
            step=self._step,
            keys=self._keys,
            sessions=self,
            hostname=address.hostname,
            context=context,
            implicit=address.implicit,
            clear=address.clear,
        )
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Submission(tools), sock=bind(address.listen), ssl=context if address.implicit else None
        )

    async def stop(self) -> None:
        """Take no new connection, let messages under way arrive, close."""
        if self._server is None:
            return
        self._server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while self._open and loop.time() < deadline:
            await asyncio.gather(*(session.leave() for session in tuple(self._open)), return_exceptions=True)
            await asyncio.sleep(_LOOK)
        for session in tuple(self._open):
            if isinstance(session.transport, asyncio.Transport):
                session.transport.abort()

    def opened(self, session: Submission, source: str) -> bool:
        """Remember it; False where its source has too many."""
        self._open[session] = None
        self._sources[source] += 1
        return self._sources[source] <= MOST_OF_ONE

    def closed(self, session: Submission, source: str) -> None:
        """Forget it."""
        if session in self._open:
            del self._open[session]
            self._sources -= Counter((source,))


def _context(listen: str, certificate: Tls) -> ssl.SSLContext:
    """What a listener shows; TLS 1.2 and later (RFC 8996)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate.certificate, certificate.key)
    except ssl.SSLError as fault:
        raise ListenError(
            f"{listen}: {certificate.certificate} and {certificate.key} are no certificate and its key: {fault.reason}"
        ) from fault
    return context
