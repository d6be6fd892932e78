"""Drafts of Graph that attempts made: how far they came, what dead processes left of them, and what must be swept."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import DraftNote, Stray
from posthouse.spool import rows
from posthouse.spool.sqlite.blocks import let_go
from posthouse.spool.sqlite.database import Database, millis, to_json
from posthouse.spool.sqlite.sending import wake
from posthouse.spool.sqlite.threads import Job


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
        wake(db, [key for key, _ in left])
    return len(left)


def free(*, now: Millis, before: Millis, most: int) -> Job[int]:
    """Let those go that are held because drafts may not be written and were tried last before ``before``; how many."""

    def sweep(db: Database) -> int:
        found = db.rows("held_for_drafts", {"before": before, "most": most})
        keys = [cast("int", row[0]) for row in found]
        let_go(db, keys, at=now, cause="draft_permission_probe")
        return len(keys)

    return sweep


def strays(*, now: Millis, after: float, most: int) -> Job[Sequence[Stray]]:
    """Messages that were final ``after`` seconds ago and may have left drafts."""
    asked = {"now": now, "after": millis(after), "most": most}
    return lambda db: [rows.stray(cast("rows.StrayTuple", row)) for row in db.rows("strays", asked)]


def swept(*, key: int, again_at: Millis | None) -> Job[None]:
    """The drafts of a message were looked for: never again, or at ``again_at``."""
    if again_at is None:
        return lambda db: db.run("stray_swept", {"message": key})
    return lambda db: db.run("stray_later", {"message": key, "again_at": again_at})
