"""``posthouse serve``: the service in the foreground, until SIGTERM."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

import uvloop

from posthouse.doors.listener import ListenError
from posthouse.examination import Load
from posthouse.opening import open_service
from posthouse.ports import SpoolUnavailableError
from posthouse.settings.loading import load
from posthouse.settings.model import Settings
from posthouse.settings.problems import SettingsError
from posthouse.settings.role import Role
from posthouse.spool.refused import SpoolRefusedError
from posthouse.telemetry import JsonLines

CONFIGURATION = 3
STOPPED_AT_ONCE = 1


def serve(*, config: Path | None, listen: str | None, role: Role) -> int:
    """Run until SIGTERM; the exit code (CONTRACT §5). All problems of the settings are named at once."""
    reading = partial(load, config, os.environ, overrides={"http.listen": listen} if listen else {})
    try:
        settings = reading()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return CONFIGURATION
    return uvloop.run(_serve(settings, role, log_as_json(sys.stdout), reading))


async def _serve(settings: Settings, role: Role, lines: JsonLines, reading: Load) -> int:
    stopping = asyncio.Event()
    on_signals(stopping)  # before anything is opened: a SIGTERM while starting ends it as cleanly as any other
    try:
        async with open_service(settings, role=role, load=reading) as service:
            if stopping.is_set():
                return 0
            lines.pseudonym = service.pseudonym
            await service.start()
            notify("READY=1")
            await stopping.wait()
            notify("STOPPING=1")
            await service.stop()
    except (SpoolRefusedError, SpoolUnavailableError, ListenError) as error:
        sys.stderr.write(f"posthouse: {error}\n")
        return CONFIGURATION
    return 0


def on_signals(stopping: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT drains; a second one stops at once, and the spool says truthfully what was under way."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(STOPPED_AT_ONCE)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def notify(state: str, *, environ: Callable[[str], str | None] = os.environ.get) -> None:
    """Tell systemd (sd_notify(3)) where it asked to be told."""
    address = environ("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.send(state.encode())


def log_as_json(stream: TextIO) -> JsonLines:
    """One JSON object a line; libraries only from warnings up, because their lines may carry addresses."""
    handler = logging.StreamHandler(stream)
    lines = JsonLines()
    handler.setFormatter(lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it would write Entra's whole error body
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd's: it would write what clients said
    logging.getLogger("posthouse").setLevel(logging.INFO)
    return lines
