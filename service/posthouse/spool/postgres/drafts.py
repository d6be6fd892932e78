"""Drafts of Graph that attempts made: how far they came, what dead workers left of them, and what must be swept."""

from collections.abc import Collection, Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import DraftNote, Stray
from posthouse.spool import rows
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import Waker


async def note(session: Session, key: int, number: int, note: DraftNote) -> bool:
    """How far an attempt by draft has come; False where it is not the attempt under way."""
    values = {"message": key, "number": number, "state": note.state.value, "draft": note.id}
    return await session.row("note_draft", **values) is not None


async def requeue_unsent(session: Session, waker: Waker, *, now: Millis, worker: int) -> int:
    """Queue again what dead workers left in ``sending`` whose draft was certainly not sent; how many."""
    found = await session.rows("requeue_unsent", worker=worker, now=now)
    await waker.messages(session, [cast("int", row[0]) for row in found])
    return len(found)


async def free(session: Session, waker: Waker, *, now: Millis, before: Millis, most: int) -> int:
    """Let those go that are held because drafts may not be written and were tried last before ``before``; how many."""
    found = await session.rows("free_drafts", at=now, before=before, most=most)
    await waker.messages(session, [cast("int", row[0]) for row in found])
    return len(found)


async def strays(
    session: Session, waker: Waker, *, now: Millis, after: float, most: int, lanes: Collection[int], worker: int
) -> Sequence[Stray]:
    """Messages that were final ``after`` seconds ago and may have left drafts, in lanes that this worker holds."""
    planned = await session.rows("plan_strays", after=int(after * 1000))
    await waker.lanes(session, [cast("tuple[int, int]", tuple(row)) for row in planned])
    found = await session.rows("strays", now=now, most=most, lanes=list(lanes), worker=worker)
    return [rows.stray(cast("rows.StrayTuple", tuple(row))) for row in found]


async def swept(session: Session, *, key: int, again_at: Millis | None) -> None:
    """The drafts of a message were looked for: never again, or at ``again_at``."""
    if again_at is None:
        await session.run("stray_swept", message=key)
    else:
        await session.run("stray_later", message=key, again_at=again_at)
