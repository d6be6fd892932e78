"""The Microsoft 365 emulator: Entra and Graph over TLS, SMTP submission, and an inbox page, in one process.

``python -m posthouse.sandbox.emulator --directory D`` runs it until SIGTERM; its first line on stdout is one JSON
object with all coordinates.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import uvloop

from posthouse.sandbox.certificates import authority, server_context
from posthouse.sandbox.chaos import parse_chaos
from posthouse.sandbox.front import Front
from posthouse.sandbox.inbox import inbox_app
from posthouse.sandbox.listeners import Listener, http_listener
from posthouse.sandbox.options import Options
from posthouse.sandbox.settings import Settings
from posthouse.sandbox.smtp import smtp_listener
from posthouse.sandbox.world import Tenant, World


class Emulator:
    """A running Microsoft 365, as long as the context lasts; ``clock`` gives seconds since 1970."""

    def __init__(self, options: Options, *, clock: Callable[[], float] = time.time) -> None:
        self.options = options
        self.world = _world(options, clock)
        directory = options.directory
        directory.mkdir(parents=True, exist_ok=True)
        made, self.ca_file = authority(directory)
        context = server_context(made, host=options.host)
        host = options.host
        front = Front(self.world)
        self._https = http_listener(front, host=host, port=options.https_port, context=context)
        self._entra = http_listener(front, host=host, port=options.entra_port, context=context)
        self._smtp = smtp_listener(self.world, host=host, port=options.smtp_port, context=context)
        switched = {"graph": self._https, "entra": self._entra, "smtp": self._smtp}
        self._inbox = http_listener(inbox_app(self.world, switched), host=host, port=options.inbox_port)

    async def __aenter__(self) -> Self:
        """Listen on all ports; raises OSError where one is taken."""
        async with contextlib.AsyncExitStack() as undo:
            for listener in self._listeners:
                await listener.start()
                undo.push_async_callback(listener.stop)
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop within a second, with connections open too."""
        await asyncio.gather(*(listener.stop() for listener in self._listeners))

    @property
    def https_url(self) -> str:
        """The base of Graph; Entra answers here too."""
        return f"https://{self._name}:{self._https.port}"

    @property
    def authority(self) -> str:
        """What azure-identity takes as ``authority``; a port of its own, so that Graph can be down without it."""
        return f"https://{self._name}:{self._entra.port}"

    @property
    def graph_url(self) -> str:
        """What the Graph SDK takes as ``base_url``."""
        return f"{self.https_url}/v1.0"

    @property
    def identity_endpoint(self) -> str:
        """What a managed identity on App Service finds in ``IDENTITY_ENDPOINT``; plain HTTP, as there."""
        return f"{self.inbox_url}/msi/token"

    @property
    def smtp_host(self) -> str:
        """The host of SMTP submission, as the certificate names it."""
        return self._name

    @property
    def smtp_port(self) -> int:
        """The port of SMTP submission."""
        return self._smtp.port

    @property
    def inbox_url(self) -> str:
        """The base of the inbox page and of the control API; plain HTTP."""
        return f"http://{self._name}:{self._inbox.port}"

    def smtp_password(self, mailbox: str) -> str:
        """The password of this mailbox for AUTH LOGIN."""
        return self.world.smtp_password(mailbox)

    async def stop_graph(self) -> None:
        """Refuse connections to Graph, and cut those there are; Entra stays."""
        await self._https.stop()

    async def start_graph(self) -> None:
        """Listen for Graph again, on the same port."""
        await self._https.start()

    async def stop_entra(self) -> None:
        """Refuse connections to the authority, and cut those there are."""
        await self._entra.stop()

    async def start_entra(self) -> None:
        """Listen for Entra again, on the same port."""
        await self._entra.start()

    async def stop_smtp(self) -> None:
        """Refuse SMTP connections, and cut those there are."""
        await self._smtp.stop()

    async def start_smtp(self) -> None:
        """Listen for SMTP again, on the same port."""
        await self._smtp.start()

    def coordinates(self) -> dict[str, str | int]:
        """All that a client in another process needs."""
        return {
            "https_url": self.https_url,
            "authority": self.authority,
            "graph_url": self.graph_url,
            "smtp_host": self.smtp_host,
            "smtp_port": self.smtp_port,
            "inbox_url": self.inbox_url,
            "ca_file": str(self.ca_file),
            "tenant_id": self.options.tenant_id,
            "client_id": self.options.client_id,
            "client_secret": self.options.client_secret,
            "identity_endpoint": self.identity_endpoint,
            "identity_header": self.options.identity_header,
            "pid": os.getpid(),
        }

    @property
    def _listeners(self) -> tuple[Listener, ...]:
        return (self._https, self._entra, self._smtp, self._inbox)

    @property
    def _name(self) -> str:
        host = self.options.host
        if host in {"0.0.0.0", "::"}:  # noqa: S104 -- compared, not bound
            return "localhost"
        return f"[{host}]" if ":" in host else host


def _world(options: Options, clock: Callable[[], float]) -> World:
    tenant = Tenant(
        tenant_id=options.tenant_id.lower(),
        client_id=options.client_id.lower(),
        identity_header=options.identity_header,
    )
    mailboxes = options.mailboxes
    settings = Settings(
        client_secret=options.client_secret,
        grants=options.grants,
        mailboxes=None if mailboxes is None else frozenset(one.lower() for one in mailboxes),
        latency=options.latency,
        enforce_limits=options.enforce_limits,
        appear_after=options.appear_after,
    )
    random = Random(options.seed)  # noqa: S311 -- chance that can be repeated; no secret comes from it
    world = World(tenant=tenant, settings=settings, keep=options.keep, random=random, clock=clock)
    world.faults = options.faults
    return world


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one emulator until SIGTERM or SIGINT."""
    options = _options(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Emulator(options) as emulator:
        sys.stdout.write(json.dumps(emulator.coordinates()) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m posthouse.sandbox.emulator", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="keeps the certificate authority")
    parser.add_argument("--host", default="127.0.0.1")
    for name in ("https", "entra", "smtp", "inbox"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="default: any free port")
    parser.add_argument("--client-secret", help="default: made up")
    parser.add_argument("--mailbox", action="append", help="repeatable; default: every address is a mailbox")
    parser.add_argument(
        "--grant", action="append", help="repeatable; default: Mail.Send, Mail.ReadBasic, SMTP.SendAsApp"
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer of Graph")
    parser.add_argument("--appear-after", type=float, default=0.0, help="seconds until look-ups see a sent mail")
    parser.add_argument("--enforce-limits", action="store_true", help="enforce Exchange Online's limits")
    parser.add_argument(
        "--chaos", type=parse_chaos, default=(), help="graph=429:20%%,graph=504-after-send:2%%,smtp=421:5%%"
    )
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--keep", type=int, default=100_000, help="mails kept in memory")
    given = vars(parser.parse_args(arguments))
    mailboxes, grants = given.pop("mailbox"), given.pop("grant")
    given["faults"] = given.pop("chaos")
    given["mailboxes"] = frozenset(mailboxes) if mailboxes else None
    if grants:
        given["grants"] = frozenset(grants)
    return Options(**{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    main()
