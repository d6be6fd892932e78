"""Opens a service with its spool as the settings say, for ``serve`` and for the length of one command."""

import contextlib
from collections.abc import AsyncGenerator

from starlette.types import ASGIApp

from posthouse.app import Service, owner
from posthouse.assembly import Machine
from posthouse.ports import Spool
from posthouse.settings.model import Settings
from posthouse.settings.role import Role
from posthouse.settings.secrets import secrets_of
from posthouse.spool.postgres.database import Address
from posthouse.spool.postgres.store import open_spool as open_postgres
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sqlite.store import open_spool as open_sqlite


@contextlib.asynccontextmanager
async def open_service(settings: Settings, *, role: Role = Role.ALL) -> AsyncGenerator[Service]:
    """The spool of the settings with everything that works on it, not started yet; the spool is closed at the end.

    Raises:
        SpoolRefusedError: another process holds the spool, or it lies where it cannot be kept durably.
        SpoolUnavailableError: its database cannot be reached.
    """
    machine = Machine(owner=owner())
    spool = await _open_spool(settings, role, machine)
    try:
        yield Service(settings, spool, state=settings.state_directory(), machine=machine, role=role)
    finally:
        await spool.close()


async def _open_spool(settings: Settings, role: Role, machine: Machine) -> Spool:
    kept, secrets = settings.spool, secrets_of(settings)
    if not settings.many_processes:
        if role is not Role.ALL:
            raise SpoolRefusedError(
                f"--role {role.value} needs a spool in PostgreSQL ([spool] url): one process serves a SQLite spool."
            )
        path, floor = settings.spool_path(), kept.floor_bytes
        return await open_sqlite(path, owner=machine.owner, clock=machine.clock, secrets=secrets, floor=floor)
    settings.state_directory().mkdir(mode=0o700, parents=True, exist_ok=True)  # the administrator's socket lies there
    listen = kept.listen_url.read() if kept.listen_url is not None else None
    address = Address(dsn=settings.spool_url(), pooler=kept.pooler, listen_dsn=listen)
    return await open_postgres(address, owner=machine.owner, clock=machine.clock, sends=role.sends, secrets=secrets)


@contextlib.asynccontextmanager
async def open_for_command(settings: Settings) -> AsyncGenerator[ASGIApp]:
    """The administrator's door for one command, where no service runs here."""
    role = Role.DOORS if settings.many_processes else Role.ALL
    async with open_service(settings, role=role) as service:
        await service.keys.load()
        yield service.application(admin=True, trusted=True)
