"""What clients and operators ask: one record, a page of them, attempts, lanes, counts."""

from collections.abc import Mapping, Sequence
from typing import cast

from posthouse.message import Event, MessageId, Millis, Status, id_bytes, id_from_bytes
from posthouse.records import AttemptRow, Filters, LaneRow, Page, Record, Unreported
from posthouse.spool import rows
from posthouse.spool.filters import narrowed
from posthouse.spool.filters import parts as parts_of
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, Row, Value, to_json


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
        parts = parts_of(db.text("find"))
        conditions, values = narrowed(parts, filters, now)
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
    parts = parts_of(db.text("find"))
    older = {**values, "after": _cursor(db, last, nudge=0), "limit": 1}
    return bool(_page(db, conditions + parts["after"] + parts["newest"], older))


def _page(db: Database, conditions: str, values: Mapping[str, Value]) -> Sequence[Row]:
    return db.ask(f"{db.text('record')} where true {conditions}", values)


def _cursor(db: Database, message_id: MessageId, *, nudge: int) -> int:
    return db.number("cursor", {"public_id": id_bytes(message_id), "nudge": nudge}) or 0


def _record(row: Row, now: Millis) -> Record:
    return rows.record(cast("rows.RecordTuple", row), now=now)


def ended(message_ids: Sequence[MessageId]) -> Job[Mapping[MessageId, Status]]:
    """Those of these messages that are final, and how."""

    def read(db: Database) -> Mapping[MessageId, Status]:
        found = db.rows("ended", {"public_ids": to_json([id_bytes(one).hex() for one in message_ids])})
        return {
            id_from_bytes(public_id): Status(status) for public_id, status in cast("Sequence[tuple[bytes, str]]", found)
        }

    return read


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


def lanes(*, now: Millis, account: str | None) -> Job[Sequence[LaneRow]]:
    """Every lane that has unfinished rows or a pause, or the one of an account."""

    def read(db: Database) -> Sequence[LaneRow]:
        lane = None if account is None else db.number("lane_of", {"account": account})
        if account is not None and lane is None:
            return ()
        return [rows.lane(cast("rows.LaneTuple", row)) for row in db.rows("lanes", {"lane": lane, "now": now})]

    return read


def counts(db: Database) -> Mapping[Status, int]:
    """Messages by stored status."""
    found = cast("Sequence[tuple[str, int]]", db.rows("counts", {}))
    return {Status(status): number for status, number in found}


def oldest(db: Database) -> Mapping[Status, Millis]:
    """When the oldest message of each stored status but ``sent`` was accepted."""
    found = cast("Sequence[tuple[str, Millis]]", db.rows("oldest", {}))
    return {Status(status): at for status, at in found}


def unreported(*, since: Millis, after: int, client: str, most: int) -> Job[Sequence[Unreported]]:
    """Failed mail of the SMTP door whose sender was not told yet."""
    asked = {"since": since, "after": after, "client": client, "most": most}
    return lambda db: [rows.unreported(cast("tuple[int, str, str, int]", row)) for row in db.rows("unreported", asked)]
