"""Opens the spool that the settings name, whichever engine it has."""

from posthouse.ports import Clock, Spool
from posthouse.settings.model import Settings
from posthouse.settings.role import Role
from posthouse.settings.secrets import secrets_of
from posthouse.spool.postgres.database import Address
from posthouse.spool.postgres.store import open_spool as open_postgres
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sqlite.store import open_spool as open_sqlite


async def open_spool(settings: Settings, role: Role, *, owner: str, clock: Clock, wait: float = 10.0) -> Spool:
    """The spool, for this process; ``wait`` seconds for another one to leave it.

    Raises:
        SpoolRefusedError: another process holds the spool, or it lies where it cannot be kept durably.
        SpoolUnavailableError: its database cannot be reached.
    """
    kept, secrets = settings.spool, secrets_of(settings)
    if not settings.many_processes:
        if role is not Role.ALL:
            raise SpoolRefusedError(
                f"--role {role.value} needs a spool in PostgreSQL ([spool] url): one process serves a SQLite spool."
            )
        path, floor = settings.spool_path(), kept.floor_bytes
        return await open_sqlite(path, owner=owner, clock=clock, secrets=secrets, floor=floor, wait=wait)
    settings.state_directory().mkdir(mode=0o700, parents=True, exist_ok=True)  # the administrator's socket lies there
    listen = kept.listen_url.read() if kept.listen_url is not None else None
    address = Address(dsn=settings.spool_url(), pooler=kept.pooler, listen_dsn=listen)
    return await open_postgres(address, owner=owner, clock=clock, sends=role.sends, secrets=secrets)
