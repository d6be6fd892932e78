"""Deletes what is final and over, a little at a time, so that nothing waits long (SPOOL §7)."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.spool.loads import ANSWER_KEPT, first_hour
from posthouse.spool.postgres.contents import drop_chunks
from posthouse.spool.postgres.database import Session

ROWS_AT_ONCE: Final = 100
AUDIT_KEPT: Final = 400 * 86_400.0
"""Seconds that audit rows are kept (CONTRACT §3)."""
LOOK_AGAIN: Final[Millis] = 3_600_000
"""When an answer is looked at again one of whose messages is not final, and after which an upload counts as lost."""


async def purge(
    session: Session, *, now: Millis, retention: float, content_retention: float, most: int, at_once: Sequence[str]
) -> int:
    """Contents first, then answers, then messages with all that hangs on them; at most about ``most`` rows."""
    before = now - int(retention * 1000)
    ends: Mapping[str, object] = {
        "sent": now - int(min(content_retention, retention) * 1000),
        "other": before,
        "clients": list(at_once),
    }
    done = 0
    while done < most and (some := await _contents(session, now, ends, min(ROWS_AT_ONCE, most - done))):
        done += some
    while done < most and (some := await _answers(session, now)):
        done += some
    while done < most and (some := await _messages(session, now, before, min(ROWS_AT_ONCE, most - done))):
        done += some
    await session.run("hours_over", hour=first_hour(now))
    await session.run("audit_over", before=now - int(AUDIT_KEPT * 1000), most=ROWS_AT_ONCE)
    for row in await session.rows("lost_chunks", before=now - LOOK_AGAIN):
        await drop_chunks(session, cast("int", row[0]))
    return done


async def _contents(session: Session, now: Millis, ends: Mapping[str, object], most: int) -> int:
    found = [row[0] for row in await session.rows("content_over", **ends, most=most)]
    if found:
        chunked = await session.rows("purge_contents", messages=found, now=now)
        for row in chunked:
            await drop_chunks(session, cast("int", row[0]))
    return len(found)


async def _answers(session: Session, now: Millis) -> int:
    values = {"now": now, "kept": ANSWER_KEPT, "later": now + LOOK_AGAIN, "most": ROWS_AT_ONCE}
    return await session.number("answers_over", **values) or 0


async def _messages(session: Session, now: Millis, before: Millis, most: int) -> int:
    found: Sequence[object] = [row[0] for row in await session.rows("messages_over", before=before, most=most)]
    return (await session.number("purge_messages", messages=found, now=now) or 0) if found else 0
