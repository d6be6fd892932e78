"""What is asked for the gauges: how old the oldest of each status is, and how much room the spool takes."""

from pathlib import Path

import pytest

from posthouse.message import Status
from tests.contract.spools import NOON, SECOND, SENT, house

pytestmark = pytest.mark.usefixtures("engine")


async def test_the_oldest_of_each_status_is_known_but_of_those_that_were_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        assert await spool.spool.oldest() == {}
        row, _ = await spool.start()
        assert await spool.finish(row, SENT, Status.SENT)
        for _ in range(2):
            spool.clock.at += SECOND
            await spool.put()
            await spool.put(held_cause="client_paused")
        assert await spool.spool.oldest() == {Status.QUEUED: NOON + SECOND, Status.HELD: NOON + SECOND}


async def test_the_room_that_the_spool_takes_grows_with_its_mail(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        before = await spool.spool.space()
        for _ in range(5):
            await spool.put(body=b"x" * 1_000_000)
        after = await spool.spool.space()
        assert after.taken >= before.taken + 4_000_000
        assert after.free is None or after.free > 0
