"""The small tables: clients' keys, and what circuits must remember."""

from collections.abc import Callable, Sequence
from typing import cast

from posthouse.identities import MOST_REFUSALS, ClientRow, Identities, KeyRow, Refusal, Use
from posthouse.message import Millis
from posthouse.records import AuditEntry, TransportRow
from posthouse.spool import registered, rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json


def save_key(key: KeyRow, entry: AuditEntry) -> Job[None]:
    """Keep a key, audited; the client is made where there is none."""
    row = {
        "id": key.id,
        "client": key.client,
        "key_hash": key.key_hash,
        "kind": key.kind,
        "senders": to_json(key.senders),
        "recipient_domains": to_json(key.recipient_domains),
        "networks": to_json(key.networks),
        "scopes": to_json(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }

    def write(db: Database) -> None:
        db.run("save_key", row)
        audit(entry)(db)

    return write


def revoke_key(key_id: str, *, at: Millis, by: str) -> Job[bool]:
    """End a key; False where there is none. Revoking twice keeps the first time."""

    def write(db: Database) -> bool:
        if db.row("key_known", {"id": key_id}) is None:
            return False
        db.run("revoke_key", {"id": key_id, "at": at})
        db.run("audit", {"at": at, "by": by, "action": "key.revoke", "target": key_id, "data": "{}"})
        return True

    return write


def identities(db: Database) -> Identities:
    """All keys, oldest first, and all clients that ever had one."""
    return Identities(
        keys=[registered.key(cast("registered.KeyTuple", row)) for row in db.rows("keys", {})],
        clients=[registered.client(cast("registered.ClientTuple", row)) for row in db.rows("clients", {})],
    )


def save_client(client: ClientRow, entry: AuditEntry) -> Job[None]:
    """Keep a client's terms and whether it is paused, audited."""
    row = {
        "name": client.name,
        "created_at": client.created_at,
        "paused_at": client.paused_at,
        "terms": to_json(registered.terms_document(client.terms)),
    }

    def write(db: Database) -> None:
        db.run("save_client", row)
        audit(entry)(db)

    return write


def share_use(uses: Sequence[Use], *, owner: str, since: int) -> Job[None]:
    """Write down what this process took in by client and minute, and forget what is older than ``since``."""
    told = {"owner": owner, "since": since, "rows": to_json([[use.client, use.minute, use.messages] for use in uses])}
    return lambda db: db.run("share_use", told)


def use_of_others(*, owner: str, since: int) -> Callable[[Database], Sequence[Use]]:
    """What other processes wrote down."""
    asked = {"owner": owner, "since": since}
    return lambda db: [Use(*cast("registered.UseTuple", row)) for row in db.rows("use_of_others", asked)]


def save_refusals(refusals: Sequence[Refusal]) -> Job[None]:
    """Add to the groups of refusals; the latest stay."""
    told = to_json([registered.refusal_row(one) for one in refusals])

    def write(db: Database) -> None:
        db.run("save_refusals", {"rows": told})
        db.run("refusals_over", {"most": MOST_REFUSALS})

    return write


def refusals(*, most: int) -> Callable[[Database], Sequence[Refusal]]:
    """The groups, the latest first."""
    return lambda db: [
        registered.refusal(cast("registered.RefusalTuple", row)) for row in db.rows("refusals", {"most": most})
    ]


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
