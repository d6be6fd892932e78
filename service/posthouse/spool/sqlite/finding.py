"""What clients and operators ask: one record, a page of them, attempts, lanes, counts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from posthouse.message import Event, MessageId, Millis, Priority, Status, id_bytes, id_from_bytes, shown_status
from posthouse.records import AttemptRow, Filters, LaneRow, Page, RecipientState, Record
from posthouse.spool.sqlite.database import Database, Row, Value
from posthouse.spool.sqlite.lanes import pause_of
from posthouse.spool.sqlite.threads import Job

_RecordRow = tuple[
    bytes, str, str, str, str, str, str, str, str | None, str, str, str, str, str | None, int, int, int, int, int | None,
    int | None, int, str | None, int, str,
]  # fmt: skip
"""The order is that of record.sql."""
_AttemptTuple = tuple[
    int, str, str, str, int, int | None, str | None, str | None, str | None, str | None, int | None, str | None,
    str | None, float | None, str | None, str | None,
]  # fmt: skip
"""The order is that of attempts.sql."""
_CONDITIONS_OF_THEIR_OWN: Final = frozenset({Status.SCHEDULED, Status.QUEUED, Status.DEFERRED, Status.SENT})
_PART: Final = "--: "


def get(message_id: MessageId, *, now: Millis) -> Job[Record | None]:
    """One record."""

    def read(db: Database) -> Record | None:
        text = db.text("record") + db.text("record_by_id")
        rows = db.ask(text, {"public_id": id_bytes(message_id)})
        return _record(rows[0], now) if rows else None

    return read


def find(filters: Filters, *, now: Millis) -> Job[Page]:
    """A page of records, newest first: those older than ``after``, or the next newer than ``before``."""

    def read(db: Database) -> Page:
        parts = _parts(db.text("find"))
        conditions, values = _narrowed(parts, filters, now)
        wanted = filters.limit + 1
        if filters.before is None:
            if filters.after is not None:
                conditions += parts["after"]
                values["after"] = _cursor(db, filters.after, nudge=1)
            rows = _page(db, conditions + parts["newest"], {**values, "limit": wanted})
            records = tuple(_record(row, now) for row in rows[: filters.limit])
            return Page(records, has_more=len(rows) > filters.limit)
        newer = {**values, "before": _cursor(db, filters.before, nudge=0), "limit": filters.limit}
        rows = list(reversed(_page(db, conditions + parts["before"] + parts["oldest"], newer)))
        records = tuple(_record(row, now) for row in rows)
        return Page(records, has_more=bool(records) and _older(db, conditions, values, records[-1].id))

    return read


def _older(db: Database, conditions: str, values: Mapping[str, Value], last: MessageId) -> bool:
    parts = _parts(db.text("find"))
    older = {**values, "after": _cursor(db, last, nudge=0), "limit": 1}
    return bool(_page(db, conditions + parts["after"] + parts["newest"], older))


def _page(db: Database, conditions: str, values: Mapping[str, Value]) -> Sequence[Row]:
    return db.ask(f"{db.text('record')} where true {conditions}", values)


def _cursor(db: Database, message_id: MessageId, *, nudge: int) -> int:
    return db.number("cursor", {"public_id": id_bytes(message_id), "nudge": nudge}) or 0


def _parts(text: str) -> dict[str, str]:
    """The named conditions of find.sql."""
    found: dict[str, str] = {}
    for part in text.split(_PART)[1:]:
        name, _, condition = part.partition("\n")
        found[name] = condition
    return found


def _narrowed(parts: Mapping[str, str], filters: Filters, now: Millis) -> tuple[str, dict[str, Value]]:
    """The conditions of these filters and their values."""
    values: dict[str, Value] = {}
    text = ""
    for name, value in _given(filters):
        text += parts[name]
        values[name] = value
    if filters.status is not None:
        text += parts[filters.status.value if filters.status in _CONDITIONS_OF_THEIR_OWN else "stored"]
        values |= {"status": filters.status.value, "now": now}
    for n, (tag, value) in enumerate(filters.tags.items()):
        text += parts["tag"].replace("{n}", str(n))
        values |= {f"tag_name_{n}": tag, f"tag_value_{n}": value}
    return text, values


def _given(filters: Filters) -> Iterator[tuple[str, Value]]:
    subject = filters.subject
    if subject is not None:
        subject = "%" + subject.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    asked: dict[str, Value] = {
        "sender": filters.sender,
        "recipient": filters.recipient,
        "subject": subject,
        "reference": filters.reference,
        "message_id": filters.message_id,
        "client": filters.client,
        "door": filters.door,
        "transport": filters.transport,
        "created_after": filters.created_after,
        "created_before": filters.created_before,
    }
    return ((name, value) for name, value in asked.items() if value is not None)


def _record(row: Row, now: Millis) -> Record:
    values = cast("_RecordRow", row)
    recipients = cast("list[tuple[str, str, str | None]]", json.loads(values[23]))
    return Record(
        id=id_from_bytes(values[0]),
        status=shown_status(Status(values[1]), attempts=values[20], due_at=values[17], now=now),
        client=values[2],
        door=values[3],
        mailbox=values[4],
        account=values[5],
        sender=values[6],
        subject=values[7],
        reference=values[8],
        tags=json.loads(values[9]),
        metadata=json.loads(values[10]),
        message_id=values[11],
        route=tuple(json.loads(values[12])),
        transport=values[13],
        priority=Priority(values[14]),
        size=values[15],
        created_at=values[16],
        due_at=values[17],
        expires_at=values[18],
        finished_at=values[19],
        attempts=values[20],
        held_cause=values[21],
        unsettled=bool(values[22]),
        recipients=tuple(
            RecipientState(address=address, kind=kind, refused=refused) for address, kind, refused in recipients
        ),
    )


def attempts(message_id: MessageId) -> Job[Sequence[AttemptRow]]:
    """Every try of a message, oldest first."""

    def read(db: Database) -> Sequence[AttemptRow]:
        return [_attempt(row) for row in db.rows("attempts", {"public_id": id_bytes(message_id)})]

    return read


def _attempt(row: Row) -> AttemptRow:
    values = cast("_AttemptTuple", row)
    return AttemptRow(
        number=values[0],
        attempt_id=values[1],
        transport=values[2],
        account=values[3],
        started_at=values[4],
        ended_at=values[5],
        outcome=values[6],
        scope=values[7],
        status=values[8],
        code=values[9],
        reply=values[10],
        text=values[11],
        request_id=values[12],
        retry_after=values[13],
        receipt=values[14],
        fix=values[15],
    )


def events(message_id: MessageId) -> Job[Sequence[Event]]:
    """A message's history."""

    def read(db: Database) -> Sequence[Event]:
        rows = cast("Sequence[tuple[int, int, str, str]]", db.rows("events", {"public_id": id_bytes(message_id)}))
        return [
            Event(position=position, message_id=message_id, at=at, type=type_, data=json.loads(data))
            for position, at, type_, data in rows
        ]

    return read


def lanes(db: Database) -> Sequence[LaneRow]:
    """Every lane that has unfinished rows or a pause."""
    rows = cast("Sequence[tuple[int, str, int, int, int, int, int | None, int | None, str]]", db.rows("lanes", {}))
    return [
        LaneRow(
            lane=lane,
            account=account,
            waiting=waiting,
            sending=sending,
            held=held,
            unconfirmed=unconfirmed,
            oldest_due_at=oldest,
            next_at=next_at,
            pauses=tuple(
                pause_of(transport, until, reason, blocked=blocked, since=since)
                for transport, until, reason, blocked, since in json.loads(pauses)
            ),
        )
        for lane, account, waiting, sending, held, unconfirmed, oldest, next_at, pauses in rows
    ]


def counts(db: Database) -> Mapping[Status, int]:
    """Messages by stored status."""
    rows = cast("Sequence[tuple[str, int]]", db.rows("counts", {}))
    return {Status(status): number for status, number in rows}
