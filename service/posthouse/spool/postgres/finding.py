"""What clients and operators ask: one record, a page of them, attempts, events, lanes, counts."""

import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from posthouse.message import Event, MessageId, Millis, Status, id_bytes, id_from_bytes
from posthouse.records import AttemptRow, Filters, LaneRow, Page, Record, Unreported
from posthouse.spool import rows
from posthouse.spool.filters import narrowed
from posthouse.spool.filters import parts as parts_of
from posthouse.spool.postgres.database import Row, Session, Value


def public(message_id: MessageId) -> uuid.UUID:
    """The id as the database keeps it."""
    return uuid.UUID(bytes=id_bytes(message_id))


async def get(session: Session, message_id: MessageId, *, now: Millis) -> Record | None:
    """One record."""
    text = session.text("record") + session.text("record_by_id")
    found = await session.ask(text, {"public_id": public(message_id)})
    return _record(found[0], now) if found else None


async def find(session: Session, filters: Filters, *, now: Millis) -> Page:
    """A page of records, newest first: those older than ``after``, or the next newer than ``before``."""
    parts = parts_of(session.text("find"))
    conditions, given = narrowed(parts, filters, now)
    values: dict[str, Value] = {**given}
    wanted = filters.limit + 1
    if filters.before is None:
        if filters.after is not None:
            conditions += parts["after"]
            values["after"] = public(filters.after)
        found = await _page(session, conditions + parts["newest"], {**values, "limit": wanted})
        records = tuple(_record(row, now) for row in found[: filters.limit])
        return Page(records, has_more=len(found) > filters.limit)
    newer = {**values, "before": public(filters.before), "limit": filters.limit}
    newest = await _page(session, conditions + parts["before"] + parts["oldest"], newer)
    records = tuple(_record(row, now) for row in reversed(newest))
    more = bool(records) and await _older(session, conditions, values, records[-1].id)
    return Page(records, has_more=more)


async def _older(session: Session, conditions: str, values: Mapping[str, Value], last: MessageId) -> bool:
    parts = parts_of(session.text("find"))
    older = {**values, "after": public(last), "limit": 1}
    return bool(await _page(session, conditions + parts["after"] + parts["newest"], older))


async def _page(session: Session, conditions: str, values: Mapping[str, Value]) -> Sequence[Row]:
    return await session.ask(f"{session.text('record')} where true {conditions}", values)


def _record(row: Row, now: Millis) -> Record:
    return rows.record(cast("rows.RecordTuple", row), now=now)


async def ended(session: Session, message_ids: Sequence[MessageId]) -> Mapping[MessageId, Status]:
    """Those of these messages that are final, and how."""
    found = await session.rows("ended", public_ids=[public(one) for one in message_ids])
    return {id_from_bytes(cast("bytes", public_id)): Status(status) for public_id, status in found}


async def attempts(session: Session, message_id: MessageId) -> Sequence[AttemptRow]:
    """Every try of a message, oldest first."""
    found = await session.rows("attempts", public_id=public(message_id))
    return [rows.attempt(cast("rows.AttemptTuple", row)) for row in found]


async def events(session: Session, message_id: MessageId) -> Sequence[Event]:
    """A message's history."""
    found = await session.rows("events", public_id=public(message_id))
    return [rows.event(cast("rows.EventTuple", row), of=message_id) for row in found]


async def lanes(session: Session, *, now: Millis, account: str | None) -> Sequence[LaneRow]:
    """Every lane that has unfinished rows or a pause, or the one of an account, whatever it has."""
    lane = None if account is None else await session.number("lane_of", account=account.lower())
    if account is not None and lane is None:
        return ()
    return [rows.lane(cast("rows.LaneTuple", tuple(row))) for row in await session.rows("lanes", now=now, lane=lane)]


async def counts(session: Session) -> Mapping[Status, int]:
    """Messages by stored status."""
    found = cast("Sequence[tuple[str, int]]", await session.rows("counts"))
    return {Status(status): int(number) for status, number in found}


async def oldest(session: Session) -> Mapping[Status, Millis]:
    """When the oldest message of each stored status but ``sent`` was accepted."""
    found = cast("Sequence[tuple[str, Millis]]", await session.rows("oldest"))
    return {Status(status): int(at) for status, at in found}


async def taken(session: Session) -> int:
    """The bytes that the database takes on its disk."""
    return await session.number("taken") or 0


async def unreported(session: Session, *, since: Millis, after: int, client: str, most: int) -> Sequence[Unreported]:
    """Failed mail of the SMTP door whose sender was not told yet."""
    found = await session.rows("unreported", since=since, after=after, client=client, most=most)
    return [rows.unreported(cast("tuple[int, str, str, int]", row)) for row in found]
