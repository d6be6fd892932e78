"""What clients and operators ask: one record, a page of them, attempts, lanes, counts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from posthouse.message import Event, MessageId, Millis, Status, id_bytes
from posthouse.records import AttemptRow, Filters, LaneRow, Page, Record
from posthouse.spool import rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, Row, Value

_CONDITIONS_OF_THEIR_OWN: Final = frozenset({Status.SCHEDULED, Status.QUEUED, Status.DEFERRED, Status.SENT})
_PART: Final = "--: "


def get(message_id: MessageId, *, now: Millis) -> Job[Record | None]:
    """One record."""

    def read(db: Database) -> Record | None:
        text = db.text("record") + db.text("record_by_id")
        found = db.ask(text, {"public_id": id_bytes(message_id)})
        return _record(found[0], now) if found else None

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
            found = _page(db, conditions + parts["newest"], {**values, "limit": wanted})
            records = tuple(_record(row, now) for row in found[: filters.limit])
            return Page(records, has_more=len(found) > filters.limit)
        newer = {**values, "before": _cursor(db, filters.before, nudge=0), "limit": filters.limit}
        found = reversed(_page(db, conditions + parts["before"] + parts["oldest"], newer))
        records = tuple(_record(row, now) for row in found)
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
    return rows.record(cast("rows.RecordTuple", row), now=now)


def attempts(message_id: MessageId) -> Job[Sequence[AttemptRow]]:
    """Every try of a message, oldest first."""

    def read(db: Database) -> Sequence[AttemptRow]:
        found = db.rows("attempts", {"public_id": id_bytes(message_id)})
        return [rows.attempt(cast("rows.AttemptTuple", row)) for row in found]

    return read


def events(message_id: MessageId) -> Job[Sequence[Event]]:
    """A message's history."""

    def read(db: Database) -> Sequence[Event]:
        found = db.rows("events", {"public_id": id_bytes(message_id)})
        return [rows.event(cast("rows.EventTuple", row), of=message_id) for row in found]

    return read


def lanes(db: Database) -> Sequence[LaneRow]:
    """Every lane that has unfinished rows or a pause."""
    return [rows.lane(cast("rows.LaneTuple", row)) for row in db.rows("lanes", {})]


def counts(db: Database) -> Mapping[Status, int]:
    """Messages by stored status."""
    found = cast("Sequence[tuple[str, int]]", db.rows("counts", {}))
    return {Status(status): number for status, number in found}
