"""The small tables: clients' keys, and what circuits must remember."""

import json
from collections.abc import Sequence
from typing import Literal, cast

from posthouse.message import Millis
from posthouse.records import KeyRow, TransportRow
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.threads import Job

_KeyTuple = tuple[str, str, bytes, str, str, str, int, int | None, int | None, int | None]
_State = Literal["closed", "open", "blocked", "paused"]


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
    return [_key(cast("_KeyTuple", row)) for row in db.rows("keys", {})]


def _key(row: _KeyTuple) -> KeyRow:
    return KeyRow(
        id=row[0],
        client=row[1],
        key_hash=row[2],
        senders=tuple(json.loads(row[3])),
        recipient_domains=tuple(json.loads(row[4])),
        scopes=tuple(json.loads(row[5])),
        created_at=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        last_used_at=row[9],
    )


def save_transport(row: TransportRow) -> Job[None]:
    """Write down a circuit's or a block's state."""
    values = {
        "name": row.name,
        "state": row.state,
        "until": row.until,
        "opened": row.opened,
        "reason": row.reason,
        "since": row.since,
    }
    return lambda db: db.run("save_transport", values)


def transports(db: Database) -> Sequence[TransportRow]:
    """What was written down."""
    rows = cast("Sequence[tuple[str, _State, int, int, str, int]]", db.rows("transports", {}))
    return [
        TransportRow(name=name, state=state, until=until, opened=opened, reason=reason, since=since)
        for name, state, until, opened, reason, since in rows
    ]
