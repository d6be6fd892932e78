"""What a fault left behind is made good by the sweep (PROMISES §7), each state planted as a dying process leaves it."""

from pathlib import Path

import pytest

from posthouse.message import OnUnconfirmed, Status
from posthouse.outcome import Answer, TransientFailure
from posthouse.records import Action, Change, Pause, SenderBlock
from tests.contract.spools import DAY, HOUR, LATER, LOST, NOON, SECOND, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

GRACE = 10.0


async def sweep(spool: House, *live: int) -> int:
    return await spool.spool.recover_lost(now=spool.clock.now(), grace=GRACE, live=live)


# --- sending without an attempt


async def test_what_is_sending_past_its_deadline_without_an_attempt_is_in_doubt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        spool.clock.at += 70 * SECOND - 1
        assert await sweep(spool) == 0
        spool.clock.at += 1
        assert await sweep(spool, row.key) == 0
        assert await sweep(spool) == 1
        assert await sweep(spool) == 0
        assert await spool.status(row.id) is Status.UNCONFIRMED
        (item,) = await spool.looks(at=NOON + DAY)
        assert (item.since, item.number) == (NOON + 70 * SECOND, 1)
        assert (await spool.spool.attempts(row.id))[0].code == "attempt_lost"
        assert lease.lane in spool.woken


async def test_a_lost_attempt_that_ends_after_all_ends_the_doubt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        spool.clock.at += HOUR
        await sweep(spool)
        assert await spool.finish(row, SENT, Status.SENT)
        assert await spool.status(row.id) is Status.SENT


async def test_a_one_time_code_whose_attempt_was_lost_goes_again_unless_it_expired(tmp_path: Path) -> None:
    """``on_unconfirmed: retry`` sends again; but what may have been sent never ends expired unseen (PROMISES §5)."""
    async with house(tmp_path) as spool:
        retry = OnUnconfirmed.RETRY
        soon, _ = await spool.start(on_unconfirmed=retry, expires_at=NOON + DAY)
        over, _ = await spool.start(on_unconfirmed=retry, expires_at=NOON + 60 * SECOND, account="b@contoso.com")
        spool.clock.at += HOUR
        assert await sweep(spool) == 2
        assert await spool.status(soon.id) is Status.DEFERRED
        assert await spool.status(over.id) is Status.UNCONFIRMED


async def test_a_late_success_ends_what_waits_to_be_sent_again_because_nobody_knew(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start(on_unconfirmed=OnUnconfirmed.RETRY)
        spool.clock.at += HOUR
        await sweep(spool)
        assert await spool.finish(row, SENT, Status.SENT)
        assert await spool.status(row.id) is Status.SENT
        assert await spool.due(lease.lane) == []


# --- an outcome is bound to its attempt


async def test_taking_back_an_attempt_that_was_never_written_changes_nothing(tmp_path: Path) -> None:
    """Its number may be another's by now, who sends: only the attempt's own id tells them apart."""
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        failed = TransientFailure(scope=LATER.scope, answer=Answer(status="4.3.0", text="x", code="not_marked"))
        assert not await spool.finish(row, failed, Status.QUEUED, due_at=NOON, attempt_id="another's")
        assert await spool.status(row.id) is Status.SENDING
        waiting = await spool.put(account="b@contoso.com")
        (other,) = await spool.due((await spool.lease("b@contoso.com")).lane)
        assert not await spool.finish(other, failed, Status.QUEUED, due_at=NOON, attempt_id="never written")
        assert await spool.history(waiting) == ["accepted"]


async def test_taking_back_an_attempt_that_was_written_queues_its_message_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        mark = spool.mark_of(row, fence=lease.fence)
        await spool.spool.mark(mark)
        failed = TransientFailure(scope=LATER.scope, answer=Answer(status="4.3.0", text="x", code="not_marked"))
        assert await spool.finish(row, failed, Status.QUEUED, due_at=NOON, attempt_id=mark.attempt_id)
        (again,) = await spool.due(lease.lane)
        assert (again.id, again.attempts) == (row.id, 1)


# --- held without a cause


async def free(spool: House, *transports: str, carrying: tuple[str, ...] = ()) -> int:
    return await spool.spool.free_held(now=spool.clock.now(), transports=transports, carrying=carrying, most=100)


async def test_what_is_held_for_a_transport_goes_on_when_one_of_its_route_is_back(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        waiting = await spool.put(route=("old", "older"))
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.spool.hold(key=row.key, id=row.id, at=NOON, cause="no_transport")
        await spool.release(lease)
        assert await free(spool, "graph", "smtp") == 0
        assert await spool.status(waiting) is Status.HELD
        assert await free(spool, "graph", "older") == 1
        assert await spool.history(waiting) == ["accepted", "held", "released"]
        assert [one.id for one in await spool.due((await spool.lease()).lane)] == [waiting]


async def test_what_is_held_for_a_block_that_is_gone_goes_on(tmp_path: Path) -> None:
    """A crash between the end of a block and the outcome that held its probe leaves such a row."""
    async with house(tmp_path) as spool:
        block = SenderBlock(mailbox=SHOP, sender=SHOP, since=NOON, probe_at=NOON + HOUR, reason="no_right")
        await spool.spool.block_sender(block)
        waiting = await spool.put()
        assert await free(spool) == 0
        await spool.plant("delete from blocks")
        assert await free(spool) == 1
        assert await spool.status(waiting) is Status.QUEUED


async def test_what_is_held_for_its_header_recipients_goes_on_when_the_settings_let_it(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        waiting = await spool.put(held_cause="extra_header_recipients", route=("graph",))
        assert await free(spool, "graph") == 0
        assert await free(spool, "graph", carrying=("graph",)) == 1
        assert await spool.status(waiting) is Status.QUEUED


async def test_what_is_held_in_doubt_is_never_let_go_by_the_sweep(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        await spool.plant("update messages set status = 'held', held_cause = 'no_transport'")
        assert await free(spool, "graph", "smtp") == 0
        assert await spool.status(row.id) is Status.HELD


# --- lanes that sleep


async def test_a_lane_that_forgot_when_it_is_due_is_woken(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.doubt(account="b@contoso.com", look_in=HOUR)
        await spool.plant("update lanes set next_at = null")
        assert await spool.leases() == []
        assert await spool.spool.wake_sleepers() == 2
        assert [lease.account for lease in await spool.leases()] == [SHOP]
        assert await spool.spool.next_due() == NOON + HOUR
        assert await spool.spool.wake_sleepers() == 0


async def test_a_lane_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.lease()
        await spool.plant("update lanes set next_at = null")
        assert await spool.spool.wake_sleepers() == 0


# --- look-ups belong to the lane


async def test_a_lane_is_due_for_its_look_up_even_while_it_is_paused(tmp_path: Path) -> None:
    """Pauses stop sends, not look-ups (PROMISES §5)."""
    async with house(tmp_path) as spool:
        row = await spool.doubt(look_in=5 * SECOND)
        await spool.put()
        lease = await spool.lease()
        await spool.spool.pause(lane=lease.lane, pause=pause(until=NOON + HOUR))
        await spool.release(lease)
        assert await spool.spool.next_due() == NOON + 5 * SECOND
        spool.clock.at += 5 * SECOND
        lease = await spool.lease()
        assert await spool.spool.unsettled(now=NOON + DAY, most=9, lanes=(lease.lane + 1,)) == []
        (item,) = await spool.spool.unsettled(now=NOON + DAY, most=9, lanes=(lease.lane,))
        assert item.message.id == row.id


async def test_a_doubt_is_looked_for_by_the_owner_of_the_mailbox_that_sent_it(tmp_path: Path) -> None:
    """Not of the lane in which the message waited: the requests of a mailbox are counted by its owner alone."""
    async with house(tmp_path) as spool:
        await spool.put(account="login@contoso.com", due_at=NOON + DAY)
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        mark = spool.mark_of(row, fence=lease.fence, transport="smtp", account="login@contoso.com")
        assert await spool.spool.mark(mark)
        assert await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=NOON)
        await spool.release(lease)
        other = await spool.lease("login@contoso.com")
        (item,) = await spool.spool.unsettled(now=NOON, most=9, lanes=(other.lane,))
        assert (item.message.id, item.account, item.lane) == (row.id, "login@contoso.com", other.lane)


@pytest.mark.engine("sqlite")
async def test_doubt_that_an_older_version_left_finds_its_lane_at_start(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        await spool.plant("update unsettled set lane = null")
    async with house(tmp_path, owner="newer") as spool:
        await spool.spool.recover(now=NOON, grace=GRACE)
        (item,) = await spool.looks(at=NOON + DAY)
        assert item.message.id == row.id


# --- a clock that was set back


def pause(*, until: int, length: int = HOUR, blocked: bool = False):
    return Pause(None, until, "throttled", blocked=blocked, since=until - length, length=length)


async def test_after_a_clock_that_was_set_back_nothing_waits_for_the_hour_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        spool.clock.at = NOON + HOUR
        waiting = await spool.put()
        failed = await spool.go(
            LATER, Status.QUEUED, finish={"due_at": NOON + HOUR + 5 * SECOND}, account="b@contoso.com"
        )
        doubtful = await spool.doubt(account="c@contoso.com")
        scheduled = await spool.put(account="d@contoso.com", due_at=NOON + 2 * HOUR)
        put_off = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + HOUR + SECOND}, account="f@contoso.com")
        await spool.obey(Action.CHANGE, put_off.id, change=Change(due_at=NOON + 2 * HOUR))
        await spool.put(account="e@contoso.com")
        paused = await spool.lease("e@contoso.com")
        await spool.spool.pause(lane=paused.lane, pause=pause(until=NOON + HOUR + 30 * SECOND, length=30 * SECOND))
        await spool.release(paused)
    async with house(tmp_path, owner="later") as spool:
        spool.clock.at = NOON
        assert await spool.spool.turn_back(now=NOON) == HOUR
        await spool.spool.recover(now=NOON, grace=GRACE)
        spool.clock.at = NOON + 5 * SECOND
        due = {lease.account: lease for lease in await spool.leases()}
        assert set(due) == {SHOP, "b@contoso.com", "c@contoso.com"}
        assert [one.id for one in await spool.due(due[SHOP].lane)] == [waiting]
        assert [one.id for one in await spool.due(due["b@contoso.com"].lane)] == [failed.id]
        (item,) = await spool.looks(at=NOON + 5 * SECOND)
        assert (item.message.id, item.since) == (doubtful.id, NOON)
        spool.clock.at = NOON + 30 * SECOND
        (rested,) = await spool.leases()
        assert (rested.account, rested.pauses[0].until) == ("e@contoso.com", NOON + 30 * SECOND)
        assert (await spool.record(scheduled)).due_at == NOON + 2 * HOUR
        assert (await spool.record(put_off.id)).due_at == NOON + 2 * HOUR
        assert await spool.spool.turn_back(now=NOON + 2 * HOUR) == 0


async def test_a_clock_that_runs_on_changes_nothing_at_start(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(due_at=NOON + HOUR)
        assert await spool.spool.turn_back(now=NOON) == 0
        assert await spool.spool.next_due() == NOON + HOUR


@pytest.mark.parametrize("back", [0, HOUR])
async def test_a_dead_process_send_ends_at_its_deadline_also_by_a_clock_that_was_set_back(
    tmp_path: Path, back: int
) -> None:
    async with house(tmp_path, owner="dead") as spool:
        await spool.start()
        await spool.die()
    async with house(tmp_path, owner="alive") as spool:
        await spool.spool.recover(now=NOON - back, grace=GRACE)
        (item,) = await spool.looks(at=NOON + DAY)
        assert item.since == NOON - back + 70 * SECOND
