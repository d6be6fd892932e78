"""The small tables: clients' keys, and what circuits must remember."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import AuditEntry, KeyRow, TransportRow
from posthouse.spool import rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json


def save_key(key: KeyRow) -> Job[None]:
    """Keep a key; the client is made where there is none."""
    row = {
        "id": key.id,
        "client": key.client,
        "key_hash": key.key_hash,
        "senders": to_json(key.senders),
        "recipient_domains": to_json(key.recipient_domains),
        "scopes": to_json(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
    return lambda db: db.run("save_key", row)


def revoke_key(key_id: str, *, at: Millis, by: str) -> Job[bool]:
    """End a key; False where there is none. Revoking twice keeps the first time."""

    def write(db: Database) -> bool:
        if db.row("key_known", {"id": key_id}) is None:
            return False
        db.run("revoke_key", {"id": key_id, "at": at})
        db.run("audit", {"at": at, "by": by, "action": "key.revoke", "target": key_id, "data": "{}"})
        return True

    return write


def keys(db: Database) -> Sequence[KeyRow]:
    """All keys, oldest first."""
    return [rows.key(cast("rows.KeyTuple", row)) for row in db.rows("keys", {})]


def save_transport(row: TransportRow) -> Job[None]:
    """Write down a circuit's or a block's state."""
    values = {
        "name": row.name,
        "state": row.state,
        "until": row.until,
        "opened": row.opened,
        "reason": row.reason,
        "since": row.since,
        "block_ended_at": row.block_ended_at or None,
    }
    return lambda db: db.run("save_transport", values)


def tell_transport(*, name: str, paused: bool, at: Millis, by: str) -> Job[None]:
    """A person pauses or resumes a transport."""

    def write(db: Database) -> None:
        db.run("tell_transport", {"name": name, "paused": int(paused), "at": at, "by": by})
        action = "transport.pause" if paused else "transport.resume"
        db.run("audit", {"at": at, "by": by, "action": action, "target": name, "data": "{}"})

    return write


def transports(db: Database) -> Sequence[TransportRow]:
    """What was written down."""
    return [rows.transport(cast("rows.TransportTuple", row)) for row in db.rows("transports", {})]


def audit(entry: AuditEntry) -> Job[None]:
    """Who did something."""
    values = {"at": entry.at, "by": entry.by, "action": entry.action, "target": entry.target}
    return lambda db: db.run("audit", {**values, "data": to_json(dict(entry.data))})
