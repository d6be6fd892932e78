"""Turns rows into the records that the house speaks of."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from posthouse.message import (
    Bytes,
    Content,
    Envelope,
    Event,
    Kind,
    Message,
    MessageId,
    Millis,
    OnUnconfirmed,
    Priority,
    Recipient,
    id_bytes,
    id_from_bytes,
)
from posthouse.ports import SpoolUnavailableError
from posthouse.records import TransportKind, Unsettled
from posthouse.spool.sqlite.database import Database, Row
from posthouse.spool.sqlite.threads import Job, Readers

CHUNK_BYTES: Final = 256 * 1024
"""The size of a chunk of a large content, the last one apart (SPOOL §7)."""

_MessageRow = tuple[
    int, str, str, int, str, str, str, str | None, list[tuple[str, str]], str, int, list[str], str | None, int, int, int,
    int, int | None, int, int, str, int,
]  # fmt: skip
"""The order is that of peek.sql."""
_UnsettledRow = tuple[_MessageRow, int, str, TransportKind, str, int, int, int, int | None, int, int]
"""The order is that of unsettled.sql."""


def peek(*, lane: int, now: Millis, most: int) -> Job[Sequence[Message]]:
    """Due messages of a lane."""
    return lambda db: [
        _message(cast("_MessageRow", row)) for row in db.document("peek", {"lane": lane, "now": now, "most": most})
    ]


def unsettled(*, now: Millis, most: int) -> Job[Sequence[Unsettled]]:
    """Unsettled messages whose look-up is due."""
    return lambda db: [
        _unsettled(cast("_UnsettledRow", row)) for row in db.document("unsettled", {"now": now, "most": most})
    ]


def _message(row: _MessageRow) -> Message:
    envelope = Envelope(row[7], tuple(Recipient(address, Kind(kind)) for address, kind in row[8]))
    return Message(
        key=row[0],
        id=id_from_bytes(bytes.fromhex(row[1])),
        client=row[2],
        lane=row[3],
        account=row[4],
        mailbox=row[5],
        sender=row[6],
        envelope=envelope,
        message_id=row[9],
        own_message_id=bool(row[10]),
        route=tuple(row[11]),
        next_transport=row[12],
        priority=Priority(row[13]),
        size=row[14],
        accepted_at=row[15],
        due_at=row[16],
        expires_at=row[17],
        gives_up_at=row[18],
        attempts=row[19],
        on_unconfirmed=OnUnconfirmed(row[20]),
        accept_duplicate=bool(row[21]),
    )


def _unsettled(row: _UnsettledRow) -> Unsettled:
    message, number, transport, kind, account, started_at, since, looks, last_absent_at, may_resend, held = row
    return Unsettled(
        message=_message(message),
        number=number,
        transport=transport,
        kind=kind,
        account=account,
        started_at=started_at,
        since=since,
        looks=looks,
        last_absent_at=last_absent_at,
        may_resend=bool(may_resend),
        held=bool(held),
    )


@dataclass(frozen=True, slots=True)
class ChunkedBody:
    """A large body that is read from the spool chunk by chunk, never as a whole."""

    readers: Readers
    content: int
    size: int

    async def blocks(self) -> AsyncIterator[bytes]:
        """Blocks of 256 KB; raises SpoolUnavailableError where one is missing."""
        for n in range(-(-self.size // CHUNK_BYTES)):
            row = await self.readers.read(self._chunk(n))
            if row is None:
                raise SpoolUnavailableError("a part of the content is gone")
            yield cast("bytes", row[0])

    def _chunk(self, n: int) -> Job[Row | None]:
        return lambda db: db.row("chunk", {"content": self.content, "n": n})


async def content(readers: Readers, key: int) -> Content | None:
    """A message's content; None where it was purged."""
    row = await readers.read(lambda db: db.row("content", {"id": key}))
    if row is None:
        return None
    header_size, body_size, location, data = cast("tuple[int, int, str, bytes]", row)
    if location == "inline":
        return Content(data[:header_size], Bytes(data[header_size:]))
    return Content(data, ChunkedBody(readers, key, body_size))


def events(message_id: MessageId) -> Job[Sequence[Event]]:
    """A message's history."""

    def read(db: Database) -> Sequence[Event]:
        rows = cast("Sequence[tuple[int, int, str, str]]", db.rows("events", {"public_id": id_bytes(message_id)}))
        return [
            Event(position=position, message_id=message_id, at=at, type=type_, data=json.loads(data))
            for position, at, type_, data in rows
        ]

    return read
