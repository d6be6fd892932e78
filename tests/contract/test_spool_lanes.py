"""Lanes: one owner at a time, nothing stranded, a paused or huge lane costs the others nothing."""

from pathlib import Path

import pytest

from posthouse.message import Priority, Status
from posthouse.records import Action, Pause
from tests.contract.spools import HOUR, LATER, LOST, NOON, SECOND, SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")

A, B = "a@contoso.com", "b@contoso.com"


async def test_a_leased_lane_is_nobody_elses(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.lease()
        assert await spool.leases() == []
        assert await spool.spool.next_due() is None


async def test_lanes_that_wait_longest_are_leased_first(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A, due_at=NOON - 1)
        await spool.put(account=B, due_at=NOON - 2)
        (first,) = await spool.leases(most=1)
        (second,) = await spool.leases(most=1)
        assert (first.account, second.account) == (B, A)


async def test_priority_goes_before_age_and_what_is_not_due_waits(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        low = await spool.put(priority=Priority.LOW, due_at=NOON - 9)
        young = await spool.put(due_at=NOON)
        old = await spool.put(due_at=NOON - 5)
        high = await spool.put(priority=Priority.HIGH)
        await spool.put(priority=Priority.HIGH, due_at=NOON + 1)
        lane = (await spool.lease()).lane
        assert [row.id for row in await spool.due(lane)] == [high, old, young, low]
        assert [row.id for row in await spool.due(lane, most=2)] == [high, old, low]


async def test_a_drained_lane_sleeps_and_a_scheduled_row_wakes_it_in_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(SENT, Status.SENT)
        assert await spool.spool.next_due() is None
        await spool.put(due_at=NOON + HOUR)
        assert await spool.spool.next_due() == NOON + HOUR
        assert await spool.spool.lease(owner="me", now=NOON + HOUR - 1, most=9) == ()
        assert len(await spool.spool.lease(owner="me", now=NOON + HOUR, most=9)) == 1


async def test_what_comes_into_a_leased_lane_is_due_after_its_release(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(due_at=NOON)
        lease = await spool.lease()
        await spool.put(due_at=NOON + 5)
        (first,) = await spool.due(lease.lane)
        await spool.spool.mark(spool.mark_of(first, fence=lease.fence))
        await spool.finish(first, SENT, Status.SENT)
        await spool.release(lease)
        assert await spool.spool.next_due() == NOON + 5
        assert await spool.spool.next_in(lane=lease.lane) == NOON + 5


async def test_a_release_with_an_old_fence_takes_nobodys_lane(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        old = await spool.lease()
        await spool.release(old)
        new = await spool.lease()
        await spool.release(old)
        assert await spool.spool.next_due() is None
        await spool.release(new)
        assert await spool.spool.next_due() == NOON


async def test_only_who_holds_a_lane_under_this_lease_is_told_that_it_holds_it(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        old = await spool.lease()
        assert await spool.spool.holds(lane=old.lane, fence=old.fence)
        await spool.release(old)
        assert not await spool.spool.holds(lane=old.lane, fence=old.fence)
        new = await spool.lease()
        assert not await spool.spool.holds(lane=new.lane, fence=old.fence)
        assert await spool.spool.holds(lane=new.lane, fence=new.fence)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_paused_lane_sleeps_until_the_end_of_the_pause(tmp_path: Path, when: str) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        pause = Pause(None, NOON + HOUR, "throttled", blocked=False, since=NOON)
        if when == "before":
            await spool.spool.pause(lane=lease.lane, pause=pause)
            await spool.release(lease)
        else:
            await spool.release(lease)
            await spool.spool.pause(lane=lease.lane, pause=pause)
        assert await spool.spool.next_due() == NOON + HOUR
        await spool.put()
        await spool.put(priority=Priority.HIGH)
        assert await spool.spool.next_due() == NOON + HOUR


async def test_what_comes_into_an_empty_paused_lane_waits_for_the_end_of_the_pause(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        pause = Pause(None, NOON + HOUR, "throttled", blocked=False, since=NOON)
        await spool.spool.pause(lane=row.lane, pause=pause)
        assert await spool.spool.next_due() is None
        await spool.put()
        assert await spool.spool.next_due() == NOON + HOUR


async def test_a_lane_that_waits_for_a_scheduled_row_wakes_for_an_earlier_one(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(due_at=NOON + HOUR)
        await spool.put(due_at=NOON + SECOND)
        await spool.put(due_at=NOON + 2 * SECOND)
        assert await spool.spool.next_due() == NOON + SECOND


async def test_a_resumed_lane_wakes(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        pause = Pause(None, NOON + HOUR, "mailbox_full", blocked=True, since=NOON)
        await spool.spool.pause(lane=lease.lane, pause=pause)
        await spool.release(lease)
        (row,) = await spool.spool.lanes(now=NOON)
        assert row.pauses == (pause,)
        spool.woken.clear()
        await spool.spool.resume(lane=lease.lane, transport=None, at=NOON)
        assert await spool.spool.next_due() == NOON
        assert spool.woken == {lease.lane}
        assert (await spool.spool.lanes(now=NOON))[0].pauses == ()


async def test_a_pause_of_one_transport_does_not_put_the_lane_to_sleep(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        await spool.spool.pause(lane=lease.lane, pause=Pause("graph", NOON + HOUR, "x", blocked=False, since=NOON))
        await spool.release(lease)
        assert await spool.spool.next_due() == NOON


async def test_a_row_that_becomes_due_earlier_wakes_a_sleeping_lane(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + HOUR})
        assert await spool.spool.next_due() == NOON + HOUR
        spool.woken.clear()
        await spool.obey(Action.RETRY, row.id)
        assert await spool.spool.next_due() == NOON
        assert spool.woken == {row.lane}


async def test_a_deferred_row_moves_the_lanes_next_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.release(lease)
        await spool.spool.defer(
            key=row.key, lane=row.lane, due_at=NOON + 9 * SECOND, at=NOON, cause="recipients_per_day"
        )
        assert await spool.spool.next_due() == NOON + 9 * SECOND
        assert await spool.history(row.id) == ["accepted", "deferred"]


async def test_a_held_row_leaves_its_lane(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.spool.hold(key=row.key, id=row.id, at=NOON, cause="too_large_for_route")
        await spool.release(lease)
        assert await spool.spool.next_due() is None
        record = await spool.record(row.id)
        assert (record.status, record.held_cause) == (Status.HELD, "too_large_for_route")


async def test_lanes_show_what_waits_in_them(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A, due_at=NOON + 5)
        await spool.put(account=A, held_cause="client_paused")
        await spool.put(account=B)
        (lease,) = await spool.spool.lease(owner="me", now=NOON, most=9)
        (row,) = await spool.due(lease.lane)
        await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await shape(spool) == {A: (1, 0, 1, 0, NOON + 5), B: (0, 1, 0, 0, None)}
        await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=NOON)
        assert (await shape(spool))[B] == (0, 0, 0, 1, None)


async def test_accounts_differing_in_case_share_a_lane(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A)
        await spool.put(account=A.upper())
        assert len(await spool.due((await spool.lease()).lane)) == 2


@pytest.mark.engine("postgres")
async def test_who_has_nothing_to_do_looks_again_when_the_owner_of_other_lanes_may_be_dead(tmp_path: Path) -> None:
    async with house(tmp_path) as first, house(tmp_path, owner="other") as second:
        await first.put()
        await first.lease()
        assert await first.spool.next_due() is None
        due = await second.spool.next_due()
        assert due is not None
        assert NOON < due <= NOON + 10 * SECOND + 1


@pytest.mark.engine("postgres")
async def test_the_lanes_of_a_dead_worker_are_shared_out_to_those_who_live(tmp_path: Path) -> None:
    async with house(tmp_path) as dead, house(tmp_path, owner="b") as one, house(tmp_path, owner="c") as other:
        for number in range(8):
            await dead.put(account=f"{number}@contoso.com")
        while len(dead.running) < 8:
            await dead.leases(most=64)
        await dead.die()
        assert len(await one.leases(most=64)) == 5
        assert await one.spool.next_due() == 0
        assert len(await other.leases(most=64)) == 2
        assert len(await one.leases(most=64)) == 1


async def shape(spool: House) -> dict[str, tuple[int, int, int, int, int | None]]:
    return {
        row.account: (row.waiting, row.sending, row.held, row.unconfirmed, row.oldest_due_at)
        for row in await spool.spool.lanes(now=NOON)
    }
