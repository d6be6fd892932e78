"""The feed: every event of every message in the order of commits, read behind a cursor (CONTRACT §2.1)."""

from collections.abc import Collection
from typing import Final, cast

from posthouse.ports import LATEST
from posthouse.records import FeedPage
from posthouse.spool import rows
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json

SCANNED: Final = 5_000
"""Positions looked at in one question, so that a reader of few events among many costs little, and comes on."""


def feed(*, after: str | None, types: Collection[str], client: str | None, most: int) -> Job[FeedPage]:
    """A page of the feed; raises ValueError where ``after`` is no cursor of a spool on SQLite."""
    if after not in {None, LATEST} and not (after.isascii() and after.isdecimal() and len(after) < 19):  # noqa: PLR2004 - 63 bits
        raise ValueError("no such place in the feed")
    asked = None if after in {None, LATEST} else int(after)
    filters = {"types": to_json(sorted(types)) if types else None, "client": client, "most": most}

    def read(db: Database) -> FeedPage:
        start = asked or 0
        reach, last, purged = cast(
            "tuple[int | None, int, int]", db.rows("feed_reach", {"after": start, "scanned": SCANNED})[0]
        )
        if after == LATEST:
            return FeedPage(events=(), next=str(last), has_more=False, gap=False)
        if start > last:
            # the cursor is of a later life of this spool: a backup was restored; all that there is may be new to its owner
            page = feed(after=None, types=types, client=client, most=most)(db)
            return FeedPage(events=page.events, next=page.next, has_more=page.has_more, gap=True)
        if reach is None:
            return FeedPage(
                events=(), next=str(max(start, last)), has_more=False, gap=asked is not None and start < purged
            )
        found = db.rows("feed", {**filters, "after": start, "reach": reach})
        events = tuple(rows.fed(cast("rows.FeedTuple", row)) for row in found)
        end = int(events[-1].event.position) if len(events) == most else reach
        return FeedPage(events=events, next=str(end), has_more=end < last, gap=asked is not None and start < purged)

    return read
