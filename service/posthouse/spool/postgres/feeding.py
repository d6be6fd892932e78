"""The feed: every event of every message in the order of commits, read behind a cursor (CONTRACT §2.1).

A place is the number of a transaction and that of an event, ``feed.id``. Only what lies below the oldest transaction
under way is read, so that nothing appears behind a reader's back.
"""

import re
from collections.abc import Collection
from typing import Final, cast

from posthouse.ports import LATEST
from posthouse.records import FeedPage
from posthouse.spool import rows
from posthouse.spool.postgres.database import Session

SCANNED: Final = 5_000
"""Events looked at in one question, so that a reader of few events among many costs little, and comes on."""
_PLACE: Final = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?", re.ASCII)
"""A number alone is the place of an event in a SQLite spool that was moved here: it is still there."""
_START: Final = (0, 0)


async def feed(
    session: Session, *, after: str | None, types: Collection[str], client: str | None, most: int
) -> FeedPage:
    """A page of the feed; raises ValueError where ``after`` is no cursor of a spool on PostgreSQL."""
    asked = None if after in {None, LATEST} else _place(cast("str", after))
    start = asked or _START
    row = await session.row("feed_reach", feed=start[0], id=start[1], scanned=SCANNED)
    reach_feed, reach_id, count, bound, purged, beyond = cast(
        "tuple[int | None, int | None, int, int, int, int]", tuple(row or ())
    )
    if after == LATEST:
        return FeedPage(events=(), next=f"{bound - 1}.{10**18 - 1}", has_more=False, gap=False)
    if start[0] > beyond:
        # the cursor is of a later life of this spool: a backup was restored; all that there is may be new to its owner
        page = await feed(session, after=None, types=types, client=client, most=most)
        return FeedPage(events=page.events, next=page.next, has_more=page.has_more, gap=True)
    gap = asked is not None and start[0] < purged
    if reach_feed is None or reach_id is None:
        return FeedPage(events=(), next=f"{start[0]}.{start[1]}", has_more=False, gap=gap)
    found = await session.rows(
        "feed",
        feed=start[0],
        id=start[1],
        reach_feed=reach_feed,
        reach_id=reach_id,
        types=sorted(types) if types else None,
        client=client,
        most=most,
    )
    events = tuple(rows.fed(cast("rows.FeedTuple", tuple(row))) for row in found)
    reach = f"{reach_feed}.{reach_id}"
    end = reach if len(events) < most else events[-1].event.position
    return FeedPage(events=events, next=end, has_more=end != reach or count == SCANNED, gap=gap)


def _place(cursor: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(cursor)
    if found is None:
        raise ValueError("no such place in the feed")
    return int(found[1]), int(found[2] or found[1])
