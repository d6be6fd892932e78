"""The two writes around the wire, one statement a group: ``sending`` before it, the outcome after it (PROMISES §3)."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, cast

from posthouse.message import Status
from posthouse.outcome import RefusedRecipient, Unconfirmed
from posthouse.records import Finish, Mark
from posthouse.spool import loads
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import Waker

MarkLoad = tuple[Mark, int]
"""A mark and the lane of the account that it uses."""

_MARK: Final = (
    "messages", "numbers", "attempt_ids", "lanes", "fences", "transports", "kinds", "accounts", "starts", "deadlines",
    "recipients", "wire_bytes",
)  # fmt: skip
_FINISH: Final = (
    "messages", "numbers", "ends", "outcomes", "scopes", "statuses", "codes", "replies", "texts", "request_ids",
    "retry_afters", "receipts", "fixes", "stands", "dues", "gives_ups", "next_transports", "held_causes", "looks",
    "events", "datas", "attempt_ids", "doubts", "accounts",
)  # fmt: skip
_REFUSED: Final = ("refused_messages", "refused_addresses", "refused_replies")


def marking(worker: Callable[[], int]) -> Callable[[Session, Sequence[MarkLoad]], Awaitable[Sequence[bool]]]:
    """What the committer of marks does, for the worker that this process is now."""

    async def mark(session: Session, marks: Sequence[MarkLoad]) -> Sequence[bool]:
        rows = [_mark_row(one, lane) for one, lane in marks]
        found = await session.rows("mark", worker=worker(), **_columns(_MARK, rows))
        written = {row[0] for row in found}
        return [one.attempt_id in written for one, _ in marks]

    return mark


def finishing(
    worker: Callable[[], int], waker: Waker
) -> Callable[[Session, Sequence[Finish]], Awaitable[Sequence[bool]]]:
    """What the committer of outcomes does."""

    async def finish(session: Session, finishes: Sequence[Finish]) -> Sequence[bool]:
        rows = [
            (*loads.finish(one)[:-3], json.dumps(loads.event_data(one)), one.attempt_id, _doubtful(one), _account(one))
            for one in finishes
        ]
        refused = loads.refused([(one.key, who) for one in finishes for who in loads.refused_of(one.outcome)])
        row = await session.row("finish", worker=worker(), **_columns(_FINISH, rows), **_columns(_REFUSED, refused))
        what, asleep = cast("tuple[list[str], list[int]]", tuple(row or ((), ())))
        await waker.messages(session, asleep)
        waker.tell(frozenset(one.lane for one in finishes if one.status is Status.QUEUED or _doubtful(one)))
        return [one in {"apply", "again"} for one in what]

    return finish


async def note_refused(session: Session, key: int, number: int, refused: Sequence[RefusedRecipient]) -> None:
    """Write refused recipients down before DATA, for the attempt that is under way."""
    rows = loads.refused([(key, one) for one in refused])
    columns = {"addresses": [row[1] for row in rows], "replies": [row[2] for row in rows]}
    await session.run("note_refused", message=key, number=number, **columns)


def _mark_row(mark: Mark, account: int) -> tuple[object, ...]:
    row = loads.mark(mark)
    return (*row[:7], account, *row[8:])


def _account(finish: Finish) -> str | None:
    """Accounts are kept in small letters."""
    return None if finish.next_account is None else finish.next_account.lower()


def _doubtful(finish: Finish) -> bool:
    return isinstance(finish.outcome, Unconfirmed) and finish.status in {Status.UNCONFIRMED, Status.HELD}


def _columns(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Mapping[str, list[object]]:
    if not rows:
        return {name: [] for name in names}
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
