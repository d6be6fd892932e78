"""The small tables: clients' keys, and what circuits must remember."""

import json
from collections.abc import Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import KeyRow, TransportRow
from posthouse.spool import rows
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.standing import audit


async def save_key(session: Session, key: KeyRow) -> None:
    """Keep a key; the client is made where there is none."""
    await session.run(
        "save_key",
        id=key.id,
        client=key.client,
        key_hash=key.key_hash,
        senders=json.dumps(key.senders),
        recipient_domains=json.dumps(key.recipient_domains),
        scopes=json.dumps(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )


async def revoke_key(session: Session, key_id: str, *, at: Millis, by: str) -> bool:
    """End a key; False where there is none. Revoking twice keeps the first time."""
    async with session.transaction():
        if await session.row("revoke_key", id=key_id, at=at) is None:
            return False
        await audit(session, at, by=by, action="key.revoke", target=key_id, data={})
        return True


async def keys(session: Session) -> Sequence[KeyRow]:
    """All keys, oldest first."""
    return [rows.key(cast("rows.KeyTuple", row)) for row in await session.rows("keys")]


async def save_transport(session: Session, row: TransportRow) -> None:
    """Write down a circuit's or a block's state."""
    await session.run(
        "save_transport",
        name=row.name,
        state=row.state,
        until=row.until,
        opened=row.opened,
        reason=row.reason,
        since=row.since,
        block_ended_at=row.block_ended_at or None,
    )


async def tell_transport(session: Session, *, name: str, paused: bool, at: Millis, by: str) -> None:
    """A person pauses or resumes a transport."""
    async with session.transaction():
        await session.run("tell_transport", name=name, paused=paused, at=at, by=by)
        action = "transport.pause" if paused else "transport.resume"
        await audit(session, at, by=by, action=action, target=name, data={})


async def transports(session: Session) -> Sequence[TransportRow]:
    """What was written down."""
    return [rows.transport(cast("rows.TransportTuple", row)) for row in await session.rows("transports")]
