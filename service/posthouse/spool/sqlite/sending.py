"""The two writes around the wire, for whole groups: ``sending`` before it, the outcome after it (PROMISES §3)."""

import json
from collections.abc import Sequence
from typing import Final, cast

from posthouse.outcome import RefusedRecipient
from posthouse.records import Finish, Mark
from posthouse.spool import loads
from posthouse.spool.sqlite.committing import Job, Verb
from posthouse.spool.sqlite.database import Database, Json, array, to_json

FinishLoad = tuple[Finish, str]
"""An outcome and its row as JSON text."""
MarkLoad = tuple[Mark, str]


def mark_load(mark: Mark) -> MarkLoad:
    """The row in the order of mark_eligible.sql."""
    return mark, to_json(loads.mark(mark))


def mark_verb(worker: int) -> Verb[MarkLoad, bool]:
    """Marks of this process: what it leaves in ``sending`` is known by ``worker`` after its death."""

    def mark_many(db: Database, marks: Sequence[MarkLoad]) -> Sequence[bool]:
        db.lanes_of(mark.account for mark, _ in marks)
        found = db.row("mark_eligible", {"marks": array(row for _, row in marks)})
        eligible = "[]" if found is None else cast("str", found[0])
        marked = {cast("list[str]", row)[2] for row in cast("list[Json]", json.loads(eligible))}
        if marked:
            db.run("mark", {"marks": eligible, "worker": worker})
        return [mark.attempt_id in marked for mark, _ in marks]

    return Verb(rank=1, many=mark_many)


def finish_load(finish: Finish) -> FinishLoad:
    """The row in the order of finish.sql."""
    return finish, to_json(loads.finish(finish))


def _finish_many(db: Database, ends: Sequence[FinishLoad]) -> Sequence[bool]:
    found = db.document("finish_eligible", {"ends": array(row for _, row in ends)})
    due = [end for end, what in zip(ends, found, strict=True) if what == "apply"]
    late = [finish for (finish, _), what in zip(ends, found, strict=True) if what == "late"]
    if due:
        _apply(db, due)
    if late:
        db.run("finish_late", {"late": to_json(loads.late(late))})
    return [what in {"apply", "again"} for what in found]


def _apply(db: Database, ends: Sequence[FinishLoad]) -> None:
    finishes = [finish for finish, _ in ends]
    db.lanes_of(loads.next_accounts(finishes))
    db.run("finish", {"ends": db.binary(array(row for _, row in ends))})
    not_sent = loads.not_sent(finishes)
    if not_sent:
        give_back(db, not_sent)
    _note_doubts(db, finishes)
    refused = [(finish.key, one) for finish in finishes for one in loads.refused_of(finish.outcome)]
    if refused:
        refuse(db, refused)
    again = loads.again(finishes)
    if again:
        db.run("unrefuse", {"messages": to_json(again)})
        wake(db, again)


def _note_doubts(db: Database, finishes: Sequence[Finish]) -> None:
    doubts = loads.doubts(finishes)
    if doubts:
        db.run("finish_doubt", {"doubts": to_json(doubts)})
        wake_looks(db, [cast("int", row[0]) for row in doubts])


def refuse(db: Database, refused: Sequence[tuple[int, RefusedRecipient]]) -> None:
    """Write refused recipients down with their replies."""
    db.run("refuse", {"refused": to_json(loads.refused(refused))})


def give_back(db: Database, attempts: Sequence[tuple[int, int]]) -> None:
    """These attempts (message, number) certainly sent nothing: they do not count for their account's day."""
    db.run("give_back", {"attempts": to_json(attempts)})


def note_refused(key: int, number: int, refused: Sequence[RefusedRecipient]) -> Job[None]:
    """Write refused recipients down before DATA, for the attempt that is under way."""

    def write(db: Database) -> None:
        if refused and db.row("attempt_running", {"message": key, "number": number}) is not None:
            refuse(db, [(key, one) for one in refused])

    return write


def wake(db: Database, keys: Sequence[int]) -> None:
    """These messages are queued now: their lanes have something to do."""
    db.woken |= {cast("int", row[0]) for row in db.rows("wake_queued", {"messages": to_json(list(keys))})}


def wake_looks(db: Database, keys: Sequence[int]) -> None:
    """These messages are in doubt: their lanes have something to look for."""
    db.woken |= {cast("int", row[0]) for row in db.rows("wake_looks", {"messages": to_json(list(keys))})}


FINISH: Final[Verb[FinishLoad, bool]] = Verb(rank=2, many=_finish_many)
