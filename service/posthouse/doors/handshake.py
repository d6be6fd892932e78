"""TLS from the first byte, with a word for who did not manage it: the loop's own servers drop them in silence."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

from posthouse.clients.keeping import Keeper
from posthouse.doors.problems import TLS_FAILED
from posthouse.telemetry import SERVICE_FAULT, log

Failed = Callable[[str, str], None]
"""Told of the source and the reason of a handshake that failed."""

PAUSE: Final = 1.0
"""Seconds without a new connection where the system has no room for one (too many open files)."""

_SILENT: Final = "it closed the connection during the handshake"


class Acceptor:
    """Takes the connections of a bound socket; ``make`` gives the protocol that each has once it is encrypted.

    Who only opens and closes is no news: balancers look in this way whether somebody listens.
    """

    def __init__(
        self,
        bound: socket.socket,
        make: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        failed: Failed,
    ) -> None:
        self._bound = bound
        self._make = make
        self._context = context
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take connections from now on."""
        self._keep(asyncio.create_task(self._accept()))

    async def stop(self) -> None:
        """Take no new ones; those that are encrypted already stay."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._bound.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._bound)
            except OSError as error:
                log(SERVICE_FAULT, level=logging.WARNING, duty="accept", error=type(error).__name__)
                await asyncio.sleep(PAUSE)
                continue
            self._keep(loop.create_task(self._meet(connection, str(address[0]))))

    async def _meet(self, connection: socket.socket, source: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._make, connection, ssl=self._context)
        except ssl.SSLError as error:
            self._failed(source, reason(error))
        except (OSError, EOFError):
            connection.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def reason(error: Exception) -> str:
    """OpenSSL's word for what went wrong, where it has one."""
    return error.reason if isinstance(error, ssl.SSLError) and error.reason else _SILENT


def listed(keeper: Keeper, *, door: str) -> Failed:
    """Who fails is found in the list of refusals."""
    return partial(keeper.turned_away, door=door, code=TLS_FAILED)
