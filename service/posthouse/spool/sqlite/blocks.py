"""Blocked senders: their rows wait, one at a time may try, a success lets all of them go (PROMISES §6)."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from posthouse.message import Millis
from posthouse.records import SenderBlock
from posthouse.spool.sqlite.committing import Job, Readers, Writer
from posthouse.spool.sqlite.database import Database, Value, to_json
from posthouse.spool.sqlite.sending import wake

ROWS_AT_ONCE: Final = 500
"""Rows changed in one transaction, so that accepting never waits long for a large block."""


async def block(writer: Writer, readers: Readers, block: SenderBlock) -> bool:
    """Write the block, then hold what is queued; new rows are held by ``add`` from the first step on."""
    pair = {"mailbox": block.mailbox, "sender": block.sender}
    row = {**pair, "since": block.since, "probe_at": block.probe_at, "reason": block.reason}

    def write(db: Database) -> bool:
        known = db.row("block_known", pair) is not None
        db.run("block", row)
        return not known

    news = await writer.write(write)
    after = 0
    while True:
        asked = {**pair, "after": after, "most": ROWS_AT_ONCE}
        keys = await readers.read(lambda db, asked=asked: _keys(db, "queued_of_sender", asked))
        if not keys:
            return news
        after = keys[-1]
        held = {"messages": to_json(keys), "at": block.since}
        await writer.write(lambda db, held=held: db.run("hold_blocked", held))


async def unblock(writer: Writer, readers: Readers, *, mailbox: str, sender: str, at: Millis) -> None:
    """Release what the block holds in order of age, and delete it with the last of them."""
    pair = {"mailbox": mailbox, "sender": sender}
    if not await readers.read(lambda db: db.row("block_known", pair)):
        return

    def step(db: Database) -> bool:
        keys = _keys(db, "held_by_block", {**pair, "most": ROWS_AT_ONCE})
        let_go(db, [(key, "sender_unblocked") for key in keys], at=at)
        if len(keys) < ROWS_AT_ONCE:
            db.run("unblock", pair)
            return False
        return True

    while await writer.write(step):
        pass


def probe(*, now: Millis, next_probe: Millis) -> Job[int]:
    """Let the oldest row of every block try whose probe is due; how many."""

    def step(db: Database) -> int:
        let = 0
        for mailbox, sender in db.rows("probes_due", {"now": now}):
            pair = {"mailbox": mailbox, "sender": sender}
            keys = _keys(db, "held_by_block", {**pair, "most": 1})
            let_go(db, [(key, "sender_probe") for key in keys], at=now)
            db.run("probe_later", {**pair, "next_probe": next_probe})
            let += len(keys)
        return let

    return step


def _keys(db: Database, verb: str, asked: Mapping[str, Value]) -> Sequence[int]:
    return [cast("int", row[0]) for row in db.rows(verb, asked)]


def let_go(db: Database, held: Sequence[tuple[int, str]], *, at: Millis) -> None:
    """Queue held rows again, each with why it may go."""
    if held:
        db.run("release_held", {"messages": to_json(held), "at": at})
        wake(db, [key for key, _ in held])
