"""What goes on beside answering: it ends when it is told to, and two runs of one lane never mistake one for the other."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.dispatcher.runner import LONGEST_WAIT
from posthouse.message import Status
from posthouse.records import Presence
from posthouse.sandbox.chaos import Rule, Target
from tests.contract.spools import NOON, SECOND, SHOP
from tests.contract.test_attempt import Office, office

TURNS = 8
"""In one of so many turns after the news the waiting task has heard them and does not know it yet."""


@pytest.mark.parametrize("duty", ["gates", "listening"])
async def test_a_duty_that_is_told_to_end_ends_although_news_come_at_that_moment(tmp_path: Path, duty: str) -> None:
    async with office(tmp_path) as at:
        for turns in range(TURNS):
            run, news = _duty(at, duty)
            task = asyncio.ensure_future(run())
            while not news._waiters:
                await asyncio.sleep(0.01)
            news.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            ended, _ = await asyncio.wait({task}, timeout=5.0)
            assert ended == {task}, f"told {turns} turns after the news"


def _duty(at: Office, name: str) -> tuple[Callable, asyncio.Event]:
    if name == "listening":
        return at.dispatcher.listen, at.dispatcher._talk
    gates = at.dispatcher._tools.gates
    return gates.run, gates._news


async def test_a_lane_that_waits_for_a_look_sends_what_falls_due_meanwhile(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await at.until(await at.put(), Status.SENT)
        await at.house.spool.save_presence(Presence(account=SHOP, kind="graph", own=True, ask_at=NOON))
        scheduled = await at.put(due_at=NOON + 2 * SECOND)
        while not at.dispatcher.live() and at.house.clock.at < NOON + 2 * SECOND:
            await asyncio.sleep(0.1)
            at.house.clock.at += SECOND // 10
        async with asyncio.timeout(LONGEST_WAIT / 2):
            await at.until(scheduled, Status.SENT)


async def test_a_lane_that_is_leased_again_before_its_former_run_heard_of_its_end_is_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path) as at:
        spool, released, heard = at.house.spool, asyncio.Event(), asyncio.Event()
        release = spool.release

        async def hears_late(**named) -> None:
            await release(**named)
            if not released.is_set():
                released.set()
                await heard.wait()

        monkeypatch.setattr(spool, "release", hears_late)
        await at.until(await at.put(), Status.SENT)
        await released.wait()
        former = next(iter(at.dispatcher._tasks))
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=1.0),)
        second = await at.put()
        await at.under_way(2)

        heard.set()
        await asyncio.wait({former})

        assert at.dispatcher.live() == {await spool.key_of(second)}
        await at.until(second, Status.SENT)
