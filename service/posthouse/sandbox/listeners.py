"""Listeners that can stop, so that clients are refused, and start again on the same port."""

import asyncio
import ssl
from collections.abc import Callable

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from posthouse.sandbox.front import TRANSPORT

KEEP_ALIVE = 120  # seconds; long, so that idle connections do not race with a client's next request (SDK 3a)
_CLOSING = 0.5  # seconds that aborted connections have to be noticed


class Connections:
    """The live connections of one listener."""

    def __init__(self) -> None:
        self._open: set[asyncio.Transport] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, transport: asyncio.Transport) -> None:
        """Remember one."""
        self._open.add(transport)
        self._none.clear()

    def discard(self, transport: asyncio.Transport) -> None:
        """Forget one."""
        self._open.discard(transport)
        if not self._open:
            self._none.set()

    async def abort(self) -> None:
        """Cut all of them, and wait shortly until they are gone."""
        for transport in tuple(self._open):
            transport.abort()
        try:
            async with asyncio.timeout(_CLOSING):
                await self._none.wait()
        except TimeoutError:
            return


class Listener:
    """One TCP listener; port 0 means any, and the same one after a restart."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        host: str,
        port: int,
        connections: Connections,
        context: ssl.SSLContext | None = None,
        tasks: set[asyncio.Task[None]] | None = None,
    ) -> None:
        self.port = port
        self._make = make
        self._host = host
        self._connections = connections
        self._context = context
        self._tasks = tasks
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; does nothing where it already does."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._make, self._host, self.port, ssl=self._context, reuse_address=True, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections, cut those there are, end what is under way."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        await self._connections.abort()
        tasks = tuple(self._tasks or ())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http_listener(app: ASGIApp, *, host: str, port: int, context: ssl.SSLContext | None = None) -> Listener:
    """A listener for an ASGI application on uvicorn's protocol, without uvicorn's server: no signal is touched."""
    config = Config(
        app=app,
        http=_Http,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    config.load()
    state, connections = ServerState(), Connections()
    return Listener(
        lambda: _Http(config, state, connections),
        host=host,
        port=port,
        context=context,
        connections=connections,
        tasks=state.tasks,
    )


class _Http(HttpToolsProtocol):
    """uvicorn's protocol that also gives the application its transport, and writes no access log."""

    def __init__(self, config: Config, state: ServerState, connections: Connections) -> None:
        super().__init__(config, state, {})
        self.access_log = False
        self._open = connections

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client is there."""
        super().connection_made(transport)
        self.app_state = {TRANSPORT: transport}
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._open.discard(self.transport)
