"""Which mail did not reach whom, as mailboxes tell later: what this worker reads now, and what was read."""

import json
from collections.abc import Sequence
from typing import cast

from posthouse.fixes import TENANT_CODES
from posthouse.message import Millis, id_from_bytes
from posthouse.records import Bounce, Bounced, Inbox, InboxAsk, TenantBounce
from posthouse.spool import bounced, rows
from posthouse.spool.postgres.database import Session


async def inboxes(session: Session, ask: InboxAsk, *, worker: int) -> Sequence[Inbox]:
    """Mailboxes whose reports this worker reads now, and nobody else until ``until``."""
    found = await session.rows(
        "inboxes",
        now=ask.now,
        since=ask.since,
        until=ask.until,
        names=list(ask.readers),
        by=list(ask.readers.values()),
        most=ask.most,
        worker=worker,
    )
    return [rows.inbox(cast("rows.InboxTuple", tuple(row))) for row in found]


async def save(
    session: Session, inbox: Inbox, *, found: Sequence[Bounce], cursor: str | None, now: Millis, next_at: Millis
) -> Sequence[Bounced]:
    """Attach each bounce once, and go on from the cursor."""
    async with session.transaction():
        # first, so that two who read the same mailbox write one after the other
        await session.run("save_inbox", lane=inbox.lane, transport=inbox.transport, cursor=cursor, next_at=next_at)
        new = [await _attach(session, inbox, one, now=now) for one in found]
    return [one for one in new if one is not None]


async def _attach(session: Session, inbox: Inbox, bounce: Bounce, *, now: Millis) -> Bounced | None:
    addresses = bounced.folded(bounce)
    row = await session.row("bounced_message", lane=inbox.lane, message_id=bounce.message_id, addresses=addresses)
    if row is None:
        return None
    key, public_id, known = cast("rows.BouncedTuple", tuple(row))
    new = bounced.bounced(bounce, id_from_bytes(public_id), known)
    values = bounced.row(bounce, new.recipient, key=key, lane=inbox.lane, at=now)
    if await session.row("add_bounce", **values) is None:
        return None
    data = json.dumps(bounced.told(bounce, new.recipient, inbox.transport))
    await session.run("event", message=key, at=now, type="message.bounced", data=data)
    return new


async def tenant(session: Session, *, since: Millis) -> Sequence[TenantBounce]:
    """The latest reports that refuse the tenant."""
    found = await session.rows("tenant_bounces", codes=sorted(TENANT_CODES), since=since, most=bounced.MOST_TENANT)
    return [TenantBounce(*cast("tuple[str, str, int]", tuple(row))) for row in found]
