"""A dispatcher whose lease is in question: it sends only while the lane is surely its own (PROMISES §3, SPOOL §6.4)."""

import asyncio
import time
from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.sandbox.chaos import Rule, Target
from posthouse.spool.postgres.store import PostgresSpool
from tests.contract.spools import SECOND, house
from tests.contract.test_attempt import Office, office

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engine("postgres")]


def spool_of(at: Office) -> PostgresSpool:
    assert isinstance(at.house.spool, PostgresSpool)
    return at.house.spool


async def test_nothing_begins_on_the_wire_shortly_before_the_lease_ends(tmp_path: Path) -> None:
    """Its heart beats no more: soon another takes the lane, and may send what this one would still be sending."""
    async with office(tmp_path) as at:
        heart = spool_of(at)._heart
        assert heart._task is not None
        heart._task.cancel()
        heart._until = time.monotonic() + 4.5
        message = await at.put()
        await at.until(message, Status.DEFERRED)
        assert at.emulator.world.counters.posts == 0
        (attempt,) = await at.house.spool.attempts(message)
        assert attempt.code == "lease_ended"
        heart._until = time.monotonic() + 3600
        assert await at.ends(message) is Status.SENT
        assert at.emulator.world.counters.posts == 1


async def test_who_learns_that_its_lane_was_taken_sends_no_more_and_takes_nothing_back(tmp_path: Path) -> None:
    async with office(tmp_path) as at, house(tmp_path, owner="thief", clock=at.house.clock) as thief:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=1.0, times=1),)
        first = await at.put()
        await at.under_way()
        worker = thief.spool._heart.worker if isinstance(thief.spool, PostgresSpool) else 0
        await at.house.plant(f"update lanes set owner = {worker}, fence = fence + 1")  # noqa: S608 - our own number
        second = await at.put(due_at=at.house.clock.at)
        await at.until(first, Status.SENT)
        async with asyncio.timeout(20):
            while at.dispatcher._runners:
                await asyncio.sleep(0.05)
        at.house.clock.at += 10 * SECOND
        assert await at.house.status(second) is Status.QUEUED
        assert await at.house.ask("select owner from lanes") == [(worker,)]
        assert at.emulator.world.counters.posts == 1
