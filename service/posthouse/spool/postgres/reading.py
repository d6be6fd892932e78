"""What the dispatcher and settling work on: due messages, doubtful ones, and what proves something about them."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Message, Millis
from posthouse.ports import Cursors
from posthouse.records import Presence, Sharer, TransportKind, Unsettled, Witness
from posthouse.spool import rows
from posthouse.spool.postgres.database import Session

_MESSAGE_COLUMNS = 25


async def peek(session: Session, *, lane: int, now: Millis, most: int, after: Cursors) -> Sequence[Message]:
    """Due messages of a lane, some of every strand."""
    cursors = {
        "after_priorities": [int(priority) for priority, _ in after],
        "after_strands": [strand for _, strand in after],
        "after_dues": [due_at for due_at, _ in after.values()],
        "after_ids": [key for _, key in after.values()],
    }
    found = await session.rows("peek", lane=lane, now=now, most=most, **cursors)
    return [rows.message(cast("rows.MessageTuple", row)) for row in found]


async def unsettled(
    session: Session, *, now: Millis, most: int, lanes: Collection[int], worker: int
) -> Sequence[Unsettled]:
    """Unsettled messages whose look-up is due, in those of these lanes that a worker holds."""
    found = await session.rows("unsettled", now=now, most=most, lanes=list(lanes), worker=worker)
    return [
        rows.unsettled(cast("rows.UnsettledTuple", (row[:_MESSAGE_COLUMNS], *row[_MESSAGE_COLUMNS:]))) for row in found
    ]


async def asks(
    session: Session, *, now: Millis, most: int, lanes: Collection[int], worker: int
) -> Sequence[tuple[int, Presence]]:
    """Where a fresh witness is looked for now, by lane."""
    found = await session.rows("asks", now=now, most=most, lanes=list(lanes), worker=worker)
    return [(cast("int", row[0]), rows.presence(cast("rows.PresenceTuple", tuple(row)[1:]))) for row in found]


async def presences(session: Session) -> Sequence[Presence]:
    """Whether copies are found, for every account that was ever asked."""
    return [rows.presence(cast("rows.PresenceTuple", tuple(row))) for row in await session.rows("presences")]


async def presence(session: Session, *, account: str, kind: TransportKind, own: bool) -> Presence | None:
    """The same for one."""
    row = await session.row("presence_of", account=account, kind=kind, own=own)
    return None if row is None else rows.presence(cast("rows.PresenceTuple", tuple(row)))


async def witnesses(session: Session, *, account: str | None, **asked: object) -> Sequence[Witness]:
    """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
    if account is None:
        found = await session.rows("witnesses_anywhere", **asked)
    else:
        found = await session.rows("witnesses_of", account=account, **asked)
    return [rows.witness(cast("tuple[str, str, str, int, str]", row)) for row in found]


async def sharing(session: Session, *, account: str, message_id: str) -> Sequence[Sharer]:
    """All attempts with this Message-ID that went out through this account, or may have."""
    found = await session.rows("sharing", account=account, message_id=message_id)
    return [rows.sharer(cast("tuple[bytes, str, int]", tuple(row))) for row in found]
