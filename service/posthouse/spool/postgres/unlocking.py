"""Which masters open the contents of a database, and the refusal where one is missing (PROMISES §9)."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.spool.postgres.database import Session
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Keyring, Secrets


async def unlock(session: Session, secrets: Secrets, *, now: Millis) -> Keyring:
    """The keyring of this spool; raises SpoolRefusedError where a content depends on a master that is not at hand."""
    keyring = at_hand(secrets)
    if keyring is None:
        raise SpoolRefusedError("a spool in PostgreSQL needs [secrets] master, the same for all its processes.")
    known = await key_ids(session)
    strange = [name for name in known if name not in keyring.key_ids]
    lost = [name for name in strange if await session.row("sealed_under", key_id=name)]
    if lost:
        raise SpoolRefusedError(
            f"the contents of this spool are sealed under the master with the key id {', '.join(lost)}; the one given has "
            f"{keyring.key_id}. Nothing was changed. Give the master that belongs to this spool as [secrets] master, or "
            "in [secrets] previous while you are rotating it.",
            fix="spool.master",
        )
    for name in strange:
        await session.run("forget_master", key_id=name)
    for name in keyring.key_ids - {keyring.key_id, *known}:
        # another process sealed under it after it was forgotten: it is wrapped again, and never dropped unseen
        if await session.row("sealed_under", key_id=name):
            await session.run("add_master", key_id=name, at=now)
    if keyring.seals and keyring.key_id not in known:
        await session.run("add_master", key_id=keyring.key_id, at=now)
    return keyring


def at_hand(secrets: Secrets) -> Keyring | None:
    """The keyring of the masters that are there; None without any."""
    return None if secrets.master is None else Keyring(secrets.master, previous=secrets.previous, seal=secrets.seal)


async def key_ids(session: Session) -> Sequence[str]:
    """The key ids of the masters that contents may depend on, the earliest first."""
    return [cast("str", row[0]) for row in await session.rows("masters")]
