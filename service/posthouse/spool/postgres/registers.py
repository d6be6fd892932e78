"""The small tables: clients' keys, and what circuits must remember."""

import json
from collections.abc import Sequence
from typing import cast

from posthouse.identities import MOST_REFUSALS, ClientRow, Identities, KeyRow, Refusal, Use
from posthouse.message import Millis
from posthouse.records import AuditEntry, TransportRow
from posthouse.spool import registered, rows
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.standing import audit


async def save_key(session: Session, key: KeyRow, entry: AuditEntry) -> None:
    """Keep a key, audited; the client is made where there is none."""
    async with session.transaction():
        await session.run(
            "save_key",
            id=key.id,
            client=key.client,
            key_hash=key.key_hash,
            kind=key.kind,
            senders=json.dumps(key.senders),
            recipient_domains=json.dumps(key.recipient_domains),
            networks=json.dumps(key.networks),
            scopes=json.dumps(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )
        await _audit(session, entry)


async def revoke_key(session: Session, key_id: str, *, at: Millis, by: str) -> bool:
    """End a key; False where there is none. Revoking twice keeps the first time."""
    async with session.transaction():
        if await session.row("revoke_key", id=key_id, at=at) is None:
            return False
        await audit(session, at, by=by, action="key.revoke", target=key_id, data={})
        return True


async def identities(session: Session) -> Identities:
    """All keys, oldest first, and all clients that ever had one."""
    return Identities(
        keys=[registered.key(cast("registered.KeyTuple", row)) for row in await session.rows("keys")],
        clients=[registered.client(cast("registered.ClientTuple", row)) for row in await session.rows("clients")],
    )


async def save_client(session: Session, client: ClientRow, entry: AuditEntry) -> None:
    """Keep a client's terms and whether it is paused, audited."""
    async with session.transaction():
        await session.run(
            "save_client",
            name=client.name,
            created_at=client.created_at,
            paused_at=client.paused_at,
            terms=json.dumps(registered.terms_document(client.terms)),
        )
        await _audit(session, entry)


async def share_use(session: Session, uses: Sequence[Use], *, owner: str, since: int) -> None:
    """Write down what this process took in by client and minute, and forget what is older than ``since``."""
    told = json.dumps([[use.client, use.minute, use.messages] for use in uses])
    await session.run("share_use", owner=owner, since=since, rows=told)


async def use_of_others(session: Session, *, owner: str, since: int) -> Sequence[Use]:
    """What other processes wrote down."""
    found = await session.rows("use_of_others", owner=owner, since=since)
    return [Use(*cast("registered.UseTuple", row)) for row in found]


async def save_refusals(session: Session, refusals: Sequence[Refusal]) -> None:
    """Add to the groups of refusals; the latest stay."""
    async with session.transaction():
        await session.run("save_refusals", rows=json.dumps([registered.refusal_row(one) for one in refusals]))
        await session.run("refusals_over", most=MOST_REFUSALS)


async def refusals(session: Session, *, most: int) -> Sequence[Refusal]:
    """The groups, the latest first."""
    return [
        registered.refusal(cast("registered.RefusalTuple", row)) for row in await session.rows("refusals", most=most)
    ]


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


async def _audit(session: Session, entry: AuditEntry) -> None:
    await audit(session, entry.at, by=entry.by, action=entry.action, target=entry.target, data=dict(entry.data))
