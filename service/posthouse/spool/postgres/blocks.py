"""Blocked senders: their rows wait, one at a time may try, a success lets all of them go (PROMISES §6)."""

from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.records import SenderBlock
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import Waker

ROWS_AT_ONCE: Final = 500
"""Rows changed in one transaction, so that nothing else waits long for a large block."""


async def block(session: Session, block: SenderBlock) -> bool:
    """Write the block, then hold what is queued; new rows are held by ``add`` from the first step on."""
    pair = {"mailbox": block.mailbox, "sender": block.sender}
    news = await session.number("block", **pair, since=block.since, probe_at=block.probe_at, reason=block.reason)
    held: int | None = ROWS_AT_ONCE
    while held == ROWS_AT_ONCE:
        held = await session.number("hold_blocked", **pair, at=block.since, most=ROWS_AT_ONCE)
    return bool(news)


async def unblock(session: Session, waker: Waker, *, mailbox: str, sender: str, at: Millis) -> None:
    """Release what the block holds in order of age, and delete it with the last of them."""
    pair = {"mailbox": mailbox, "sender": sender}
    if await session.row("block_known", **pair) is None:
        return
    while True:
        async with session.transaction():
            keys = await _let_go(session, **pair, at=at, most=ROWS_AT_ONCE, cause="sender_unblocked")
            if len(keys) < ROWS_AT_ONCE:
                await session.run("unblock", **pair)
        if keys:
            await waker.messages(session, keys)
        if len(keys) < ROWS_AT_ONCE:
            return


async def probe(session: Session, waker: Waker, *, now: Millis, next_probe: Millis) -> int:
    """Let the oldest row of every block try whose probe is due; how many."""
    keys: list[int] = []
    async with session.transaction():
        for mailbox, sender in await session.rows("probes_due", now=now):
            pair = {"mailbox": mailbox, "sender": sender}
            keys += await _let_go(session, **pair, at=now, most=1, cause="sender_probe")
            await session.run("probe_later", **pair, next_probe=next_probe)
    if keys:
        await waker.messages(session, keys)
    return len(keys)


async def _let_go(session: Session, **values: object) -> Sequence[int]:
    return [cast("int", row[0]) for row in await session.rows("release_held", **values)]
