"""SIGKILL at any moment: every answered write is there after the next start, and nothing is there by halves."""

import asyncio
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import apsw
import pytest

from posthouse.message import MessageId, Status
from tests.contract.spools import House, house

CHILD = textwrap.dedent("""
    import asyncio, os, sys
    from pathlib import Path
    from posthouse.message import Status
    from tests.contract.spools import NOON, SENT, house

    def tell(word, message_id):
        os.write(1, f"{word} {message_id}\\n".encode())  # one write: a line is whole or not there

    async def accept(spool):
        while True:
            batch = [spool.new(body=b"x" * 3000) for _ in range(3)]
            large = spool.new(body=b"y" * 600_000)
            await spool.add(*batch, key=batch[0].id)
            for new in batch:
                tell("added", new.id)
            await spool.add(large)
            tell("added", large.id)

    async def send(spool):
        while True:
            for lease in await spool.spool.lease(owner="child", now=NOON, most=9):
                for row in await spool.due(lease.lane):
                    assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
                    tell("marked", row.id)
                    assert await spool.finish(row, SENT, Status.SENT)
                    tell("sent", row.id)
                await spool.release(lease)

    async def main():
        async with house(Path(sys.argv[1]), owner=f"child {os.getpid()}") as spool:
            await spool.spool.recover(now=NOON, grace=10.0)
            tell("ready", "")
            await asyncio.gather(*(accept(spool) for _ in range(8)), send(spool))

    asyncio.run(main())
""")
KILLS = 5
ROOT = Path(__file__).parents[2]


def life(folder: Path, chance: random.Random) -> set[tuple[str, MessageId]]:
    """One life of a process that ends by SIGKILL: what it had been answered."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        said: list[bytes] = []
        wanted = chance.randint(30, 300)
        while len(said) < wanted and (line := child.stdout.readline()):
            said.append(line)
        child.kill()
        said += child.stdout.readlines()
    words = [line.decode().split() for line in said if line.endswith(b"\n")]
    return {(pair[0], MessageId(pair[1])) for pair in words if len(pair) > 1}


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_that_was_answered_is_lost_by_sigkill(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    answered: set[tuple[str, MessageId]] = set()
    for _ in range(KILLS):
        answered |= await asyncio.to_thread(life, tmp_path, chance)
    assert len({m for word, m in answered if word == "added"}) > KILLS
    assert whole(tmp_path / "spool.sqlite")
    async with house(tmp_path) as spool:
        await spool.spool.recover(now=spool.clock.now(), grace=10.0)
        assert (await spool.spool.counts()).get(Status.SENDING, 0) == 0
        sent = {m for word, m in answered if word == "sent"}
        for message_id in {m for _, m in answered}:
            record = await spool.record(message_id)
            if message_id in sent:
                assert record.status is Status.SENT
            assert record.status in {Status.QUEUED, Status.SENT, Status.UNCONFIRMED}
            assert await readable(spool, message_id)
        assert await halves(spool) == []


def whole(path: Path) -> bool:
    connection = apsw.Connection(str(path))
    (answer,) = connection.execute("pragma integrity_check").fetchall()
    connection.close()
    return answer == ("ok",)


async def readable(spool: House, message_id: MessageId) -> bool:
    """Whether the content is complete."""
    key = await spool.spool.key_of(message_id)
    assert key is not None
    content = await spool.spool.content(key)
    assert content is not None
    return sum([len(block) async for block in content.body.blocks()]) == content.body.size > 0


async def halves(spool: House) -> list[Any]:
    """Messages without their other rows, batches that are not whole, attempts without their mark."""
    text = """
        select 'details', id from messages where id not in (select message from details)
        union all select 'content', id from messages where id not in (select id from contents)
        union all select 'recipient', id from messages where id not in (select message from recipients)
        union all select 'event', id from messages where id not in (select message from events)
        union all select 'attempt', id from messages where attempts <> (
            select count(*) from attempts where message = messages.id)
        union all select 'batch', id from idempotency where last - first + 1 <> (
            select count(*) from messages where messages.id between first and last)
        union all select 'chunk', content from chunks where content not in (select id from contents)
    """
    return await spool.ask(text)
