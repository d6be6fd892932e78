"""Which mail did not reach whom, as mailboxes tell later: what is read now, and what was read."""

from collections.abc import Sequence
from typing import cast

from posthouse.fixes import TENANT_CODES
from posthouse.message import Millis, id_from_bytes
from posthouse.records import Bounce, Bounced, Inbox, InboxAsk, TenantBounce
from posthouse.spool import bounced, rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json


def inboxes(ask: InboxAsk) -> Job[Sequence[Inbox]]:
    """Mailboxes whose reports are read now: there is no other process that could."""
    asked = {"now": ask.now, "since": ask.since, "readers": to_json(list(ask.readers.items())), "most": ask.most}
    return lambda db: [rows.inbox(cast("rows.InboxTuple", row)) for row in db.rows("inboxes", asked)]


def save(
    inbox: Inbox, *, found: Sequence[Bounce], cursor: str | None, now: Millis, next_at: Millis
) -> Job[Sequence[Bounced]]:
    """Attach each bounce once, and go on from the cursor."""
    stands = {"lane": inbox.lane, "transport": inbox.transport, "cursor": cursor, "next_at": next_at}

    def write(db: Database) -> Sequence[Bounced]:
        new = [_attach(db, inbox, one, now=now) for one in found]
        db.run("save_inbox", stands)
        return [one for one in new if one is not None]

    return write


def _attach(db: Database, inbox: Inbox, bounce: Bounce, *, now: Millis) -> Bounced | None:
    asked = {"lane": inbox.lane, "message_id": bounce.message_id, "addresses": to_json(bounced.folded(bounce))}
    row = db.row("bounced_message", asked)
    if row is None:
        return None
    key, public_id, known = cast("rows.BouncedTuple", row)
    new = bounced.bounced(bounce, id_from_bytes(public_id), known)
    values = bounced.row(bounce, new.recipient, key=key, lane=inbox.lane, at=now)
    if db.row("add_bounce", values) is None:
        return None
    data = to_json(bounced.told(bounce, new.recipient, inbox.transport))
    db.run("event", {"message": key, "at": now, "type": "message.bounced", "data": data})
    return new


def tenant(*, since: Millis) -> Job[Sequence[TenantBounce]]:
    """The latest reports that refuse the tenant."""
    asked = {"codes": to_json(sorted(TENANT_CODES)), "since": since, "most": bounced.MOST_TENANT}
    return lambda db: [TenantBounce(*cast("tuple[str, str, int]", row)) for row in db.rows("tenant_bounces", asked)]
