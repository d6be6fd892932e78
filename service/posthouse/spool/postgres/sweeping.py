"""What time and dead workers do to messages: recovery of what they left on the wire (PROMISES §5)."""

from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Millis, OnUnconfirmed
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import Waker
from posthouse.spool.rules import recovered

_RECOVER: Final = ("messages", "numbers", "statuses", "causes", "sinces", "looks", "events")


async def recover(session: Session, waker: Waker, *, now: Millis, grace: float, worker: int) -> int:
    """Rows that dead workers left in ``sending`` are unconfirmed from their deadline plus ``grace`` seconds; how many."""
    done = 0
    while True:
        async with session.transaction():
            left = cast("Sequence[tuple[int, int, int, str]]", await session.rows("left_sending", worker=worker))
            if not left:
                return done
            found = [
                _recovered(key, number, since=deadline_at + int(grace * 1000), wish=OnUnconfirmed(wish))
                for key, number, deadline_at, wish in left
            ]
            columns = dict(zip(_RECOVER, map(list, zip(*found, strict=True)), strict=True))
            await session.run("recover", now=now, **columns)
        await waker.messages(session, [key for key, *_ in left])
        done += len(left)


def _recovered(key: int, number: int, *, since: Millis, wish: OnUnconfirmed) -> tuple[object, ...]:
    """The order is that of recover.sql."""
    status, cause, looked_for, event = recovered(wish)
    return key, number, status.value, cause, since, since if looked_for else None, event
