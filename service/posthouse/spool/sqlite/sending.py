"""The two writes around the wire, for whole groups: ``sending`` before it, the outcome after it (PROMISES §3)."""

import json
from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Status
from posthouse.outcome import (
    Outcome,
    PermanentFailure,
    RefusedRecipient,
    Sent,
    TransientFailure,
    Unconfirmed,
    name_of,
    scope_of,
)
from posthouse.records import Finish, Mark
from posthouse.spool.sqlite.database import Database, Json, array, to_json
from posthouse.spool.sqlite.threads import Job, Verb

FinishLoad = tuple[Finish, str]
"""An outcome and its row as JSON text."""
MarkLoad = tuple[Mark, str]


def mark_load(mark: Mark) -> MarkLoad:
    """The row in the order of mark_eligible.sql."""
    row = (
        mark.key,
        mark.number,
        mark.attempt_id,
        mark.lane,
        mark.fence,
        mark.transport,
        mark.kind,
        mark.account,
        mark.started_at,
        mark.deadline_at,
    )
    return mark, to_json(row)


def mark_verb(worker: int) -> Verb[MarkLoad, bool]:
    """Marks of this process: what it leaves in ``sending`` is known by ``worker`` after its death."""

    def mark_many(db: Database, loads: Sequence[MarkLoad]) -> Sequence[bool]:
        db.lanes_of({mark.account for mark, _ in loads})
        found = db.row("mark_eligible", {"marks": array(row for _, row in loads)})
        eligible = "[]" if found is None else cast("str", found[0])
        marked = {cast("list[str]", row)[2] for row in cast("list[Json]", json.loads(eligible))}
        if marked:
            db.run("mark", {"marks": eligible, "worker": worker})
        return [mark.attempt_id in marked for mark, _ in loads]

    return Verb(rank=1, many=mark_many)


def finish_load(finish: Finish) -> FinishLoad:
    """The row in the order of finish.sql."""
    outcome, answer = finish.outcome, finish.outcome.answer
    row = (
        finish.key,
        finish.number,
        finish.ended_at,
        name_of(outcome),
        scope_of(outcome),
        answer.status,
        answer.code,
        answer.reply,
        answer.text,
        answer.request_id,
        answer.retry_after,
        outcome.receipt if isinstance(outcome, Sent) else None,
        answer.fix,
        finish.status,
        finish.due_at,
        finish.gives_up_at,
        finish.next_transport,
        finish.held_cause,
        finish.look_at,
        finish.event,
        _event_data(finish),
    )
    return finish, to_json(row)


def _event_data(finish: Finish) -> dict[str, object]:
    answer = finish.outcome.answer
    told = {
        "attempt": finish.number,
        "outcome": name_of(finish.outcome),
        "scope": scope_of(finish.outcome),
        "status": answer.status,
        "code": answer.code,
        "reply": answer.reply,
        "text": answer.text,
        "request_id": answer.request_id,
        "fix": answer.fix,
        "retry_after": answer.retry_after,
        "next_attempt_at": finish.due_at if finish.due_at is not None and finish.due_at > finish.ended_at else None,
        "cause": finish.held_cause,
        "next_transport": finish.next_transport,
    }
    return {**{name: value for name, value in told.items() if value is not None}, **finish.data}


def _finish_many(db: Database, loads: Sequence[FinishLoad]) -> Sequence[bool]:
    found = db.document("finish_eligible", {"ends": array(row for _, row in loads)})
    due = [load for load, what in zip(loads, found, strict=True) if what == "apply"]
    late = [finish for (finish, _), what in zip(loads, found, strict=True) if what == "late"]
    if due:
        _apply(db, due)
    if late:
        rows = [(finish.key, finish.number, finish.ended_at, _event_data(finish)) for finish in late]
        db.run("finish_late", {"late": to_json(rows)})
    return [what != "late" for what in found]


def _apply(db: Database, loads: Sequence[FinishLoad]) -> None:
    db.run("finish", {"ends": db.binary(array(row for _, row in loads))})
    finishes = [finish for finish, _ in loads]
    _note_doubts(db, [finish for finish in finishes if isinstance(finish.outcome, Unconfirmed)])
    refused = [(finish.key, one) for finish in finishes for one in _refused(finish.outcome)]
    if refused:
        refuse(db, refused)
    again = [finish.key for finish in finishes if finish.status is Status.QUEUED]
    if again:
        db.run("unrefuse", {"messages": to_json(again)})
        wake(db, again)


def _note_doubts(db: Database, finishes: Sequence[Finish]) -> None:
    """Messages of which nobody knows; one that the client wants sent again at once is none."""
    doubts = [finish for finish in finishes if finish.status in {Status.UNCONFIRMED, Status.HELD}]
    if doubts:
        rows = [(finish.key, finish.number, finish.ended_at, finish.look_at) for finish in doubts]
        db.run("finish_doubt", {"doubts": to_json(rows)})
        db.woken |= {finish.lane for finish in doubts}


def _refused(outcome: Outcome) -> tuple[RefusedRecipient, ...]:
    return outcome.refused if isinstance(outcome, Sent | TransientFailure | PermanentFailure) else ()


def refuse(db: Database, refused: Sequence[tuple[int, RefusedRecipient]]) -> None:
    """Write refused recipients down with their replies."""
    rows = [(key, one.address, f"{one.reply} {one.text}") for key, one in refused]
    db.run("refuse", {"refused": to_json(rows)})


def note_refused(key: int, number: int, refused: Sequence[RefusedRecipient]) -> Job[None]:
    """Write refused recipients down before DATA, for the attempt that is under way."""

    def write(db: Database) -> None:
        if refused and db.row("attempt_running", {"message": key, "number": number}) is not None:
            refuse(db, [(key, one) for one in refused])

    return write


def wake(db: Database, keys: Sequence[int]) -> None:
    """These messages are queued now: their lanes have something to do."""
    db.woken |= {cast("int", row[0]) for row in db.rows("wake_queued", {"messages": to_json(list(keys))})}


FINISH: Final[Verb[FinishLoad, bool]] = Verb(rank=2, many=_finish_many)
