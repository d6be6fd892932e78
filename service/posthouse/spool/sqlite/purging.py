"""Deletes what is final and over, a little at a time, so that accepting never waits long (SPOOL §7)."""

from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.spool.loads import ANSWER_KEPT, first_hour
from posthouse.spool.sqlite.committing import Readers, Writer
from posthouse.spool.sqlite.contents import drop_chunks
from posthouse.spool.sqlite.database import Database, millis, to_json

ROWS_AT_ONCE: Final = 100
"""Rows in one transaction: 100 small messages take about 3 ms (SPOOL §7)."""
AUDIT_KEPT: Final = 400 * 86_400.0
"""Seconds that audit rows are kept (CONTRACT §3)."""
LOOK_AGAIN: Final[Millis] = 3_600_000
"""When an answer is looked at again one of whose messages is not final."""


class Purge:
    """One round of deletion at ``now``; seconds of retention as the settings have them, ``at_once`` the clients that keep nothing."""

    def __init__(self, writer: Writer, readers: Readers, *, now: Millis, at_once: Sequence[str]) -> None:
        self._writer = writer
        self._readers = readers
        self._now = now
        self._at_once = to_json(list(at_once))

    async def run(self, *, retention: float, content_retention: float, most: int) -> int:
        """Contents first, then answers, then messages with all that hangs on them; at most about ``most`` rows."""
        before = self._now - millis(retention)
        ends = {"sent": self._now - millis(min(content_retention, retention)), "other": before}
        done = 0
        while done < most and (some := await self._contents(ends, min(ROWS_AT_ONCE, most - done))):
            done += some
        while done < most and (some := await self._writer.write(self._answers)):
            done += some
        while done < most and (some := await self._messages(before, min(ROWS_AT_ONCE, most - done))):
            done += some
        over = {"before": self._now - millis(AUDIT_KEPT), "most": ROWS_AT_ONCE}
        await self._writer.write(lambda db: db.run("audit_over", over))
        await self._writer.write(lambda db: db.run("hours_over", {"hour": first_hour(self._now)}))
        if done:
            await self._writer.write(lambda db: db.run("free_pages", {}))
        return done

    async def _contents(self, ends: dict[str, int], most: int) -> int:
        found = await self._readers.read(
            lambda db: db.rows("content_over", {**ends, "clients": self._at_once, "most": most})
        )
        rows = cast("Sequence[tuple[int, int]]", found)
        if rows:
            values = {"messages": to_json([key for key, _ in rows]), "now": self._now}
            await self._writer.write(lambda db: db.run("purge_contents", values))
        for key, chunked in rows:
            if chunked:
                await drop_chunks(self._writer, key)
        return len(rows)

    def _answers(self, db: Database) -> int:
        """Answers that may go; those of unfinished messages are looked at later."""
        found = db.rows("answers_due", {"now": self._now, "most": ROWS_AT_ONCE})
        rows = cast("Sequence[tuple[int, int | None]]", found)
        for key, finished_at in rows:
            check_at = self._now + LOOK_AGAIN if finished_at is None else finished_at + ANSWER_KEPT
            if check_at <= self._now:
                db.run("answer_over", {"id": key})
            else:
                db.run("answer_later", {"id": key, "at": check_at})
        return len(rows)

    async def _messages(self, before: Millis, most: int) -> int:
        found = await self._readers.read(lambda db: db.rows("messages_over", {"before": before, "most": most}))
        keys = [cast("int", row[0]) for row in found]
        if keys:
            values = {"messages": to_json(keys), "now": self._now}
            await self._writer.write(lambda db: db.run("purge_messages", values))
        return len(keys)
