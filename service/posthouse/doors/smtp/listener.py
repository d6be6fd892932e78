"""Where mail programs submit: an address with its sessions, opened and closed with the service."""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from posthouse.clients.keeping import Keeper
from posthouse.clients.keys import Keys
from posthouse.doors.certificates import Certificate, Oldest
from posthouse.doors.handshake import Acceptor, listed
from posthouse.doors.listener import Tls, bind
from posthouse.doors.smtp import replies
from posthouse.doors.smtp.session import Submission, Tools
from posthouse.meter import UNHEARD, Meter
from posthouse.submission import DoorStep

MOST_OF_ONE: Final = 50
"""Connections of one source at once."""
PATIENCE: Final = 5.0
"""Seconds that a message under way has to arrive when the service stops."""
_LOOK: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen (``host:port``) and how: ``implicit`` TLS, and whether a login may be in ``clear``.

    Where ``networks`` are named, no others are heard; ``proxies`` say with the PROXY protocol who connects.
    """

    listen: str
    hostname: str
    certificate: Tls | None = None
    oldest: Oldest = "1.2"
    implicit: bool = False
    clear: bool = False
    networks: Sequence[str] = ()
    proxies: Sequence[str] = ()


class SmtpListener:
    """One address; ``start`` returns when it answers, ``stop`` when the last message under way is answered."""

    def __init__(self, address: Address, *, step: DoorStep, keys: Keys, keeper: Keeper, meter: Meter = UNHEARD) -> None:
        self._address = address
        self._step = step
        self._keys = keys
        self._keeper = keeper
        self._meter = meter
        self._open: dict[Submission, None] = {}
        self._sources: Counter[str] = Counter()
        self._bound: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._acceptor: Acceptor | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._bound.getsockname()[1] if self._bound is not None else 0

    async def start(self) -> None:
        """Answer from now on.

        Raises:
            ListenError: the address is taken, or the certificate and its key do not fit.
        """
        address, context = self._address, None
        if address.certificate is not None:
            certificate = Certificate(address.listen, address.certificate, oldest=address.oldest)
            self._watch, context = asyncio.create_task(certificate.watch()), certificate.context
        tools = Tools(
            step=self._step,
            keys=self._keys,
            keeper=self._keeper,
            sessions=self,
            hostname=address.hostname,
            context=context,
            implicit=address.implicit,
            clear=address.clear,
            networks=address.networks,
            proxies=address.proxies,
            meter=self._meter,
        )
        bound = self._bound = bind(address.listen)
        if context is not None and address.implicit:
            failed = listed(self._keeper, door=replies.DOOR)
            self._acceptor = Acceptor(bound, partial(Submission, tools), context, failed=failed)
            self._acceptor.start()
        else:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(partial(Submission, tools), sock=bound)

    async def stop(self) -> None:
        """Take no new connection, let messages under way arrive, close."""
        if self._server is not None:
            self._server.close()
        if self._acceptor is not None:
            await self._acceptor.stop()
        if self._watch is not None:
            self._watch.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while self._open and loop.time() < deadline:
            await asyncio.gather(*(session.leave() for session in tuple(self._open)), return_exceptions=True)
            await asyncio.sleep(_LOOK)
        for session in tuple(self._open):
            if isinstance(session.transport, asyncio.Transport):
                session.transport.abort()

    def opened(self, session: Submission) -> None:
        """Remember it."""
        self._open[session] = None

    def known(self, source: str) -> bool:
        """Count a connection of this source; False where it has too many."""
        self._sources[source] += 1
        return self._sources[source] <= MOST_OF_ONE

    def closed(self, session: Submission, source: str) -> None:
        """Forget it; ``source`` is empty where it was not counted."""
        self._open.pop(session, None)
        if source:
            self._sources -= Counter((source,))
