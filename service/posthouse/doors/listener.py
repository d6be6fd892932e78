"""Runs an ASGI application on a TCP address or a unix socket with uvicorn, without touching the process's signals."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from posthouse.doors.certificates import Certificate, ListenError, Tls
from posthouse.doors.handshake import Acceptor, Failed

BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    def protocol(self) -> asyncio.Protocol:
        """That of one more connection."""
        made_with = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        return self.config.http_protocol_class(**made_with)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """The service, not a listener, answers signals."""
        yield


class Listener:
    """One address; ``start`` returns when it answers, ``stop`` when its last request is over."""

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        *,
        tls: Tls | None = None,
        failed: Failed = lambda _source, _reason: None,
    ) -> None:
        self._certificate = None if tls is None else Certificate("http.listen", tls)
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
        config.load()
        self._server = _Server(config)
        self._acceptor = (
            None
            if self._certificate is None
            else Acceptor(bound, self._server.protocol, self._certificate.context, failed=failed)
        )
        self._bound = bound
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on."""
        plain = [] if self._acceptor is not None else [self._bound]
        self._task = asyncio.create_task(self._server.serve(sockets=plain))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
        if self._certificate is not None and self._acceptor is not None:
            self._acceptor.start()
            self._watch = asyncio.create_task(self._certificate.watch())

    async def stop(self) -> None:
        """Take no new connection, finish what is under way, close."""
        if self._acceptor is not None:
            await self._acceptor.stop()
        self._server.should_exit = True
        if self._watch is not None:
            self._watch.cancel()
        if self._task is not None:
            await self._task


def bind(listen: str) -> socket.socket:
    """A listening TCP socket for ``host:port`` (IPv6 in brackets).

    Raises:
        ListenError: the address is not ours or is taken.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named: without it every answer takes 40 ms
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, int(port)))
    except OSError as error:
        bound.close()
        raise ListenError(error.errno, f"cannot listen on {listen}: {error.strerror}") from error
    bound.listen(BACKLOG)
    bound.setblocking(False)
    return bound


def bind_unix(path: Path) -> socket.socket:
    """A listening unix socket that only its owner may open; one left by a dead process is replaced."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        raise ListenError(error.errno, f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    bound.listen(BACKLOG)
    bound.setblocking(False)
    return bound
