"""Drafts of Graph that attempts made: how far they came, what dead processes left of them, and what must be swept."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import DraftNote, Stray
from posthouse.spool import rows
from posthouse.spool.sqlite.blocks import let_go
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, millis, to_json
from posthouse.spool.sqlite.sending import give_back, wake


def note(key: int, number: int, note: DraftNote) -> Job[bool]:
    """How far an attempt by draft has come; False where it is not the attempt under way."""
    values = {"message": key, "number": number, "state": note.state.value, "draft": note.id}

    def write(db: Database) -> bool:
        db.run("note_draft", values)
        return db.changes() > 0

    return write


def requeue_unsent(db: Database, *, now: Millis, worker: int) -> int:
    """Queue again what dead processes left in ``sending`` whose draft was certainly not sent; how many."""
    left = cast("Sequence[tuple[int, int]]", db.rows("left_unsent", {"worker": worker}))
    if left:
        db.run("requeue_unsent", {"now": now, "rows": to_json(left)})
        give_back(db, left)
        wake(db, [key for key, _ in left])
    return len(left)


def free(*, now: Millis, before: Millis, most: int) -> Job[int]:
    """Let those go that are held because drafts may not be written and were tried last before ``before``; how many."""

    def sweep(db: Database) -> int:
        found = db.rows("held_for_drafts", {"before": before, "most": most})
        let_go(db, [(cast("int", row[0]), "draft_permission_probe") for row in found], at=now)
        return len(found)

    return sweep


def unplanned(db: Database) -> bool:
    """Whether a final message has drafts for which nothing is planned yet."""
    return db.row("unplanned", {}) is not None


def plan(*, after: float) -> Job[None]:
    """Drafts of final messages are looked for ``after`` seconds after their end; one that became its mail alone is none."""

    def write(db: Database) -> None:
        lanes = {cast("int", row[0]) for row in db.rows("unplanned", {})}
        db.run("plan_strays", {"after": millis(after)})
        db.woken |= lanes

    return write


def strays(*, now: Millis, most: int, lanes: Collection[int]) -> Job[Sequence[Stray]]:
    """Messages of these lanes whose drafts are looked for now."""
    asked = {"now": now, "most": most, "lanes": to_json(sorted(lanes))}
    return lambda db: [rows.stray(cast("rows.StrayTuple", row)) for row in db.rows("strays", asked)]


def swept(*, key: int, again_at: Millis | None) -> Job[None]:
    """The drafts of a message were looked for: never again, or at ``again_at``."""
    if again_at is None:
        return lambda db: db.run("stray_swept", {"message": key})
    return lambda db: db.run("stray_later", {"message": key, "again_at": again_at})
