"""Opens a service with its spool as the settings say, for ``serve`` and for the length of one command."""

import contextlib
from collections.abc import AsyncGenerator

from starlette.types import ASGIApp

from posthouse.app import Service
from posthouse.assembly import Machine, owner
from posthouse.cellar import open_spool
from posthouse.examination import Load
from posthouse.settings.model import Settings
from posthouse.settings.role import Role


@contextlib.asynccontextmanager
async def open_service(
    settings: Settings, *, role: Role = Role.ALL, load: Load | None = None
) -> AsyncGenerator[Service]:
    """The spool of the settings with everything that works on it, not started yet; the spool is closed at the end.

    ``load`` reads the settings anew, where they are written somewhere.

    Raises:
        SpoolRefusedError: another process holds the spool, or it lies where it cannot be kept durably.
        SpoolUnavailableError: its database cannot be reached.
    """
    machine = Machine(owner=owner())
    spool = await open_spool(settings, role, owner=machine.owner, clock=machine.clock)
    try:
        yield Service(settings, spool, state=settings.state_directory(), machine=machine, role=role, load=load)
    finally:
        await spool.close()


@contextlib.asynccontextmanager
async def open_for_command(settings: Settings) -> AsyncGenerator[ASGIApp]:
    """The administrator's door for one command, where no service runs here."""
    role = Role.DOORS if settings.many_processes else Role.ALL
    async with open_service(settings, role=role) as service:
        await service.keys.load()
        yield service.application(admin=True, trusted=True)
