"""What goes on beside answering: it ends when it is told to, and two runs of one lane never mistake one for the other."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from posthouse.dispatcher.runner import LONGEST_WAIT
from posthouse.limits import Limits
from posthouse.message import Event, Message, Status
from posthouse.records import Pause, Presence
from posthouse.sandbox.chaos import Rule, Target
from tests.contract.spools import HOUR, NOON, SECOND, SHOP
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


async def test_a_pause_that_could_not_be_written_down_is_written_before_its_lane_is_given_back(tmp_path: Path) -> None:
    """Else the lane would be taken and given back all the time, for as long as the pause lasts."""
    async with office(tmp_path) as at:
        until = NOON + HOUR
        at.board.lane(SHOP).pause(Pause(None, until, "graph.throttled", blocked=False, since=NOON, length=HOUR))
        await at.put()
        async with asyncio.timeout(LONGEST_WAIT / 2):
            while await at.house.spool.next_due() != until:
                await asyncio.sleep(0.01)


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


async def test_a_long_backlog_is_read_behind_what_was_taken_and_what_was_put_back_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first goes again at once, and lies before all that its owner has read since (SPOOL §2)."""
    async with office(tmp_path, limits=Limits(messages_per_minute=0, concurrent_requests=4)) as at:
        peek, behind = at.house.spool.peek, list[object]()

        async def heard(**asked) -> Sequence[Message]:
            behind.extend(asked.get("after", {}).values())
            return await peek(**asked)

        monkeypatch.setattr(at.house.spool, "peek", heard)
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="401", times=1),)
        put = [await at.put(due_at=NOON + SECOND) for _ in range(80)]
        at.house.clock.at += SECOND
        for message in put:
            await at.until(message, Status.SENT)
        assert behind
        tries = [event for event in await whole_feed(at) if event.type == "message.sending"]
        (again,) = {one.message_id for one in tries if [o.message_id for o in tries].count(one.message_id) == 2}
        last = max(number for number, one in enumerate(tries) if one.message_id == again)
        assert last < 60


async def test_an_app_has_no_more_requests_under_way_than_its_ceiling_whoever_makes_them(tmp_path: Path) -> None:
    async with office(tmp_path, app="app") as at:
        ceiling, over = at.board.ceiling("app"), 0
        ceiling.limit = 2
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=0.2),)
        put = [await at.put(account=f"{number}@contoso.com") for number in range(6)]
        while not all([await at.house.status(message) is Status.SENT for message in put]):
            over = max(over, ceiling.under_way - ceiling.limit)
            await asyncio.sleep(0.01)
        assert not over


async def test_an_app_that_is_throttled_in_two_mailboxes_halves_its_ceiling(tmp_path: Path) -> None:
    async with office(tmp_path, app="app") as at:
        before = at.board.ceiling("app").limit
        at.emulator.world.faults = (
            Rule(target=Target.GRAPH, fault="429", code="ApplicationThrottled", retry_after=1, times=2),
        )
        for account in ("one@contoso.com", "two@contoso.com"):
            await at.until(await at.put(account=account), Status.DEFERRED)
        assert at.board.ceiling("app").limit == before // 2


async def test_what_waits_in_a_lane_that_rests_goes_back_to_where_it_belongs(tmp_path: Path) -> None:
    """Graph is out, the relay's account took its mail and is told to rest: there it would not see Graph come back."""
    one = Limits(messages_per_minute=0, concurrent_requests=1)
    async with office(tmp_path, limits=one, relay="relay@contoso.com") as at:
        gates = at.dispatcher._tools.gates
        circuit = gates._circuits["graph"]
        for key in (1, 2, 3):
            circuit.failed(NOON, key=key, retry_after=3600.0, reason="refused")
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="429", retry_after=60),)
        first, second = [await at.put(route=("graph", "relay")) for _ in range(2)]
        async with asyncio.timeout(20):
            while at.emulator.world.counters.posts_by_mailbox["relay@contoso.com"] == 0 or at.dispatcher.live():
                await asyncio.sleep(0.01)
            waits = first if await at.house.status(first) is Status.QUEUED else second
            while (await at.house.record(waits)).account != SHOP:
                await asyncio.sleep(0.01)
        circuit.alive(NOON)
        at.emulator.world.faults = ()
        gates._changed(circuit, news=True)
        await at.until(waits, Status.SENT)


async def test_who_stops_finishes_what_is_under_way_and_gives_its_lanes_back(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=0.5),)
        message = await at.put()
        await at.under_way()
        await at.stop(20.0)
        assert await at.house.status(message) is Status.SENT
        assert await at.house.ask("select owner from lanes") == [(None,)]


async def whole_feed(at: Office) -> list[Event]:
    """Every event in the order of commits."""
    page = await at.house.spool.feed(after=None, types=(), client=None, most=1_000)
    return [one.event for one in page.events]
