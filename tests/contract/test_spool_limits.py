"""What the spool keeps so that limits hold across lanes, restarts and workers (PROMISES §7)."""

from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.message import Envelope, Kind, Message, Priority, Recipient, Status
from posthouse.outcome import Answer, Blocked, Scope
from posthouse.records import Lease, Move, Moved, Pause, SenderBlock, Start, Told, Verdict
from posthouse.spool.postgres.store import PostgresSpool
from tests.contract.spools import DAY, HOUR, LATER, LOST, NOON, SECOND, SENT, SHOP, Clock, House, house

pytestmark = pytest.mark.usefixtures("engine")

A, B = "a@contoso.com", "b@contoso.com"
LOGIN = "svc@contoso.com"
THREE = ("x@fabrikam.com", "y@fabrikam.com", "z@fabrikam.com")


def move_of(rows: list[Message], lease: Lease, *, to: str = LOGIN, most: int = 30, **changes) -> Move:
    keys = tuple(row.key for row in rows)
    move = Move(keys=keys, lane=lease.lane, fence=lease.fence, account=to, transport="smtp", most=most, at=NOON)
    return replace(move, **changes)


async def lanes_of(spool: House) -> dict[str, int]:
    return {row.account: row.waiting for row in await spool.spool.lanes(now=spool.clock.now()) if row.waiting}


# --- strands ---------------------------------------------------------------------------------------------------------


async def test_every_client_route_and_paced_sender_is_read_however_many_rows_another_has(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.add(*[spool.new(due_at=NOON - 50 + n) for n in range(50)])
        other = await spool.put(client="codes")
        pinned = await spool.put(route=("smtp",))
        news = await spool.put(sender="news@contoso.com", paced=True)
        lane = (await spool.lease()).lane
        rows = await spool.due(lane, most=16)
        assert {other, pinned, news} <= {row.id for row in rows}
        assert len(rows) == 7
        assert [row.due_at for row in rows] == sorted(row.due_at for row in rows)
        assert len(await spool.due(lane, most=1)) == 4


async def test_an_owner_goes_on_behind_what_it_took_of_a_strand_and_sees_new_strands(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.add(*[spool.new() for _ in range(6)])
        lane = (await spool.lease()).lane
        rows = await spool.due(lane)
        last = rows[3]
        after = {(last.priority, last.strand): (last.due_at, last.key)}
        urgent = await spool.put(priority=Priority.HIGH)
        found = await spool.spool.peek(lane=lane, now=NOON, most=16, after=after)
        assert [row.key for row in found if row.id != urgent] == [row.key for row in rows[4:]]
        assert urgent in {row.id for row in found}


async def test_the_next_due_time_behind_a_moment_is_known(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.put(client="b", due_at=NOON + HOUR)
        await spool.put(priority=Priority.HIGH, due_at=NOON + SECOND)
        lane = (await spool.lease()).lane
        assert await spool.spool.next_in(lane=lane) == NOON
        assert await spool.spool.next_in(lane=lane, after=NOON) == NOON + SECOND
        assert await spool.spool.next_in(lane=lane, after=NOON + HOUR) is None


async def test_a_row_that_is_put_later_is_not_marked_although_it_was_read_before(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.spool.defer(key=row.key, lane=lease.lane, due_at=NOON + HOUR, at=NOON, cause="recipients_per_day")
        assert not await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        told = (await spool.spool.events(row.id))[-1]
        assert told.data == {"cause": "recipients_per_day", "next_attempt_at": NOON + HOUR}


# --- the past --------------------------------------------------------------------------------------------------------


async def test_a_new_owner_learns_when_attempts_ended_by_what_how_urgent_and_as_whom(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start(priority=Priority.HIGH, sender="hr@contoso.com")
        spool.clock.at += 5 * SECOND
        assert await spool.starts(lease) == (Start(None, "graph", high=True, sender="hr@contoso.com"),)
        await spool.finish(row, SENT, Status.SENT)
        spool.clock.at += 59 * SECOND
        assert await spool.starts(lease) == (Start(NOON + 5 * SECOND, "graph", high=True, sender="hr@contoso.com"),)
        spool.clock.at += SECOND
        assert await spool.starts(lease) == ()


async def test_uploads_of_five_minutes_are_known_by_their_end(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        lease = Lease(lane=row.lane, account=SHOP, fence=1)
        assert (await spool.past(lease)).uploads == ((NOON, row.size),)
        spool.clock.at += 299 * SECOND
        assert (await spool.past(lease)).uploads == ((NOON, row.size),)
        spool.clock.at += SECOND
        assert (await spool.past(lease)).uploads == ()


@pytest.mark.parametrize(
    ("outcome", "status", "counts"), [(SENT, "sent", 3), (LOST, "unconfirmed", 3), (LATER, "queued", 0)]
)
async def test_recipients_count_for_the_day_unless_they_certainly_got_nothing(
    tmp_path: Path, outcome, status: str, counts: int
) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start(to=THREE)
        assert (await spool.past(lease)).hours == ((NOON // HOUR, 3),)
        await spool.finish(row, outcome, Status(status), look_at=NOON if status == "unconfirmed" else None, due_at=NOON)
        assert sum(count for _, count in (await spool.past(lease)).hours) == counts


@pytest.mark.parametrize(("verdict", "counts"), [(Verdict.SENT, 3), (Verdict.NOT_SENT, 0), (Verdict.HELD, 3)])
async def test_what_settling_found_to_be_unsent_does_not_count_any_more(
    tmp_path: Path, verdict: Verdict, counts: int
) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt(to=THREE)
        await spool.settle(row, verdict)
        found = await spool.spool.recipient_hours(since=NOON)
        assert sum(count for _, count in found) == counts


async def test_a_late_failure_gives_back_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(SENT, Status.SENT, to=("x@fabrikam.com",))
        row = await spool.doubt(to=THREE)
        for at in (1, 1, 2):
            await spool.finish(row, LATER, Status.QUEUED, ended_at=NOON + at, due_at=NOON + HOUR)
        assert await spool.spool.recipient_hours(since=NOON) == [(NOON // HOUR, 1)]


async def test_a_dead_process_has_sent_until_somebody_knows_better(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.start(to=THREE)
    async with house(tmp_path, owner="next") as spool:
        await spool.spool.recover(now=NOON, grace=10.0)
        assert await spool.spool.recipient_hours(since=NOON) == [(NOON // HOUR, 3)]


@pytest.mark.parametrize("back", [0, HOUR])
async def test_what_a_dead_process_left_under_way_counts_until_it_surely_ended_though_it_is_in_doubt_already(
    tmp_path: Path, back: int
) -> None:
    async with house(tmp_path, owner="dead") as spool:
        await spool.start(account=A)
        await spool.die()
    async with house(tmp_path, owner="alive", clock=Clock(NOON - back)) as spool:
        assert await spool.spool.recover(now=NOON - back, grace=10.0) == 1
        await spool.put(account=A)
        row, lease = await spool.start(account=B)
        if isinstance(spool.spool, PostgresSpool):  # knows its own, which the lane counts itself
            assert (await spool.past(lease)).alive == ()
        assert await spool.finish(row, SENT, Status.SENT)
        assert (await spool.past(lease)).alive == ()
        lease = await spool.lease(A)
        assert (await spool.past(lease)).alive == (NOON - back + 70 * SECOND,)


async def test_the_tenants_day_is_the_sum_of_all_accounts_and_old_hours_are_dropped(tmp_path: Path) -> None:
    clock = Clock()
    async with house(tmp_path, clock=clock) as spool:
        await spool.go(SENT, Status.SENT, account=A)
        clock.at += HOUR
        await spool.go(SENT, Status.SENT, account=A, to=THREE)
        await spool.go(SENT, Status.SENT, account=B)
        hour = NOON // HOUR
        assert await spool.spool.recipient_hours(since=NOON) == [(hour, 1), (hour + 1, 4)]
        assert await spool.spool.recipient_hours(since=NOON + HOUR) == [(hour + 1, 4)]
        await spool.spool.purge(now=NOON + 26 * HOUR, retention=30 * DAY, content_retention=DAY, most=10)
        assert await spool.spool.recipient_hours(since=0) == [(hour + 1, 4)]


# --- moving ----------------------------------------------------------------------------------------------------------


async def test_rows_move_into_the_lane_of_the_account_that_sends_them_and_wake_it(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        ids = [await spool.put(account=A) for _ in range(3)]
        lease = await spool.lease(A)
        rows = await spool.due(lease.lane)
        spool.woken.clear()
        moved = await spool.spool.move(move_of(rows[:2], lease))
        assert moved == Moved(tuple(row.key for row in rows[:2]))
        assert await lanes_of(spool) == {A: 1, LOGIN: 2}
        other = await spool.lease(LOGIN)
        assert spool.woken == {other.lane}
        guests = await spool.due(other.lane)
        assert [row.id for row in guests] == ids[:2]
        assert {row.account for row in guests} == {LOGIN}
        back = await spool.spool.move(move_of(guests, other, to=A))
        assert len(back.keys) == 2
        assert [row.id for row in await spool.due(lease.lane)] == ids


async def test_never_more_rows_wait_in_the_other_lane_than_it_sends_in_a_minute(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.add(*[spool.new(account=A) for _ in range(5)])
        await spool.add(*[spool.new(account=LOGIN) for _ in range(2)])
        lease = await spool.lease(A)
        rows = await spool.due(lease.lane)
        assert len((await spool.spool.move(move_of(rows, lease, most=4))).keys) == 2
        assert (await spool.spool.move(move_of(rows[2:], lease, most=4))).keys == ()
        assert len((await spool.spool.move(move_of(rows[2:], lease, most=0))).keys) == 3


async def test_only_the_owner_of_a_lane_moves_its_rows(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A)
        lease = await spool.lease(A)
        rows = await spool.due(lease.lane)
        assert (await spool.spool.move(move_of(rows, lease, fence=lease.fence - 1))).keys == ()
        await spool.release(lease)
        assert (await spool.spool.move(move_of(rows, lease))).keys == ()
        assert await lanes_of(spool) == {A: 1}


async def test_what_is_being_sent_or_in_doubt_never_moves(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        sending, lease = await spool.start(account=A)
        assert (await spool.spool.move(move_of([sending], lease))).keys == ()
        await spool.finish(sending, LOST, Status.UNCONFIRMED, look_at=NOON)
        assert (await spool.spool.move(move_of([sending], lease))).keys == ()
        assert (await spool.record(sending.id)).account == A


@pytest.mark.parametrize("transport", [None, "smtp", "graph"])
async def test_a_lane_that_is_paused_for_its_transport_takes_no_rows_from_elsewhere(
    tmp_path: Path, transport: str | None
) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A)
        await spool.put(account=LOGIN, held_cause="client_paused")
        lease = await spool.lease(A)
        (target,) = [row.lane for row in await spool.spool.lanes(now=NOON) if row.account == LOGIN]
        pause = Pause(transport, NOON + HOUR, "smtp.password", blocked=True, since=NOON)
        await spool.spool.pause(lane=target, pause=pause)
        moved = await spool.spool.move(move_of(await spool.due(lease.lane), lease))
        assert moved.shut_until == (None if transport == "graph" else NOON + HOUR)
        assert bool(moved.keys) == (transport == "graph")


async def test_an_outcome_that_falls_back_to_another_account_puts_the_row_into_its_lane_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start(account=A)
        spool.woken.clear()
        changes = {"due_at": NOON, "next_transport": "smtp", "next_account": LOGIN}
        await spool.finish(row, LATER, Status.QUEUED, **changes)
        await spool.release(lease)
        other = await spool.lease()
        assert other.account == LOGIN
        assert other.lane in spool.woken
        (again,) = await spool.due(other.lane)
        assert (again.id, again.next_transport, again.attempts) == (row.id, "smtp", 1)
        assert await spool.spool.mark(spool.mark_of(again, fence=other.fence, transport="smtp"))


async def test_it_stays_where_the_other_lane_is_paused(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.spool.tell_lane(account=LOGIN, paused=True, at=NOON, by="ann")
        row, lease = await spool.start(account=A)
        changes = {"due_at": NOON, "next_transport": "smtp", "next_account": LOGIN}
        await spool.finish(row, LATER, Status.QUEUED, **changes)
        assert [one.id for one in await spool.due(lease.lane)] == [row.id]


# --- what a person says ----------------------------------------------------------------------------------------------


async def test_a_lane_paused_by_a_person_sleeps_until_it_is_resumed_whatever_else_happens(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        assert await spool.spool.tell_lane(account=A, paused=True, at=NOON, by="ann")
        await spool.put(account=A)
        (row,) = await spool.spool.lanes(now=NOON)
        assert row.told == Told(at=NOON, paused=True, by="ann")
        assert await spool.spool.lease(owner="me", now=NOON + 400 * DAY, most=9) == ()
        await spool.spool.pause(lane=row.lane, pause=Pause(None, NOON + SECOND, "throttled", blocked=False, since=NOON))
        assert await spool.spool.lease(owner="me", now=NOON + 400 * DAY, most=9) == ()
        await spool.spool.resume(lane=row.lane, transport=None, at=NOON)
        assert await spool.spool.lease(owner="me", now=NOON + 400 * DAY, most=9) == ()
        spool.woken.clear()
        assert await spool.spool.tell_lane(account=A.upper(), paused=False, at=NOON, by="bob")
        assert spool.woken == {row.lane}
        lease = await spool.lease(A)
        assert lease.told.paused is False
        assert await spool.spool.spoken(since=NOON) == {row.lane: Told(at=NOON + 1, paused=False, by="bob")}
        assert await spool.spool.spoken(since=NOON + 2) == {}


async def test_an_owner_hears_of_a_pause_that_another_process_wrote(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A)
        lease = await spool.lease(A)
        assert await spool.spool.spoken(since=0) == {}
        await spool.spool.tell_lane(account=A, paused=True, at=NOON + 5, by="ann")
        assert await spool.spool.spoken(since=NOON) == {lease.lane: Told(at=NOON + 5, paused=True, by="ann")}
        await spool.release(lease)
        assert await spool.spool.lease(owner="me", now=NOON, most=9) == ()


async def test_resume_ends_blocks_and_reckoned_pauses_but_no_retry_after(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, account=A, finish={"due_at": NOON})
        pauses = [
            Pause(None, NOON + HOUR, "graph.throttled", blocked=False, since=NOON),
            Pause("graph", NOON + HOUR, "graph.mailbox_permission", blocked=True, since=NOON),
            Pause("smtp", NOON + HOUR, "recipients_per_day", blocked=False, since=NOON),
        ]
        for pause in pauses:
            await spool.spool.pause(lane=row.lane, pause=pause)
        await spool.spool.tell_lane(account=A, paused=False, at=NOON, by="ann")
        (lane,) = await spool.spool.lanes(now=NOON)
        assert lane.pauses == (pauses[0],)
        assert await spool.spool.next_due() == NOON + HOUR


@pytest.mark.parametrize("transport", [None, "graph"])
async def test_resume_leaves_a_retry_after_that_came_while_a_block_stood(transport: str | None, tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, account=A, finish={"due_at": NOON})
        block = Pause(transport, NOON + HOUR, "graph.mailbox_permission", blocked=True, since=NOON)
        asked = replace(block, asked_until=NOON + 18 * SECOND)
        await spool.spool.pause(lane=row.lane, pause=asked)
        assert (await spool.spool.lanes(now=NOON))[0].pauses == (asked,)
        await spool.spool.tell_lane(account=A, paused=False, at=NOON, by="ann")
        ((rest,), due) = (await spool.spool.lanes(now=NOON))[0].pauses, await spool.spool.next_due()
        assert (rest.until, rest.reason, rest.blocked) == (NOON + 18 * SECOND, "graph.throttled", False)
        assert due == (NOON + 18 * SECOND if transport is None else NOON)


async def test_nobody_resumes_a_lane_that_does_not_exist(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        assert not await spool.spool.tell_lane(account=A, paused=False, at=NOON, by="ann")
        assert await spool.spool.lanes(now=NOON, account=A) == ()


async def test_a_transports_pause_by_a_person_is_told_to_all_and_survives_what_a_circuit_writes(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.spool.tell_transport(name="graph", paused=True, at=NOON, by="ann")
        (row,) = await spool.spool.transports()
        assert (row.name, row.state, row.told) == ("graph", "closed", Told(at=NOON, paused=True, by="ann"))
        await spool.spool.save_transport(replace(row, state="open", until=NOON + HOUR, told=Told()))
        (row,) = await spool.spool.transports()
        assert (row.state, row.told.paused) == ("open", True)
        await spool.spool.tell_transport(name="graph", paused=False, at=NOON - HOUR, by="bob")
        (row,) = await spool.spool.transports()
        assert (row.state, row.told) == ("open", Told(at=NOON + 1, paused=False, by="bob"))


async def test_the_deferred_rows_of_a_lane_paused_by_a_person_show_their_own_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, account=A, finish={"due_at": NOON + HOUR})
        await spool.spool.tell_lane(account=A, paused=True, at=NOON, by="ann")
        assert (await spool.record(row.id)).due_at == NOON + HOUR


async def test_lanes_show_the_backlog_of_each_client_and_priority(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(account=A)
        await spool.put(account=A, route=("smtp",), due_at=NOON - 9)
        await spool.put(account=A, client="codes", priority=Priority.HIGH, due_at=NOON + HOUR)
        (row,) = await spool.spool.lanes(now=NOON, account=A.upper())
        assert [(one.priority, one.client, one.count, one.due, one.oldest_due_at) for one in row.backlog] == [
            (Priority.HIGH, "codes", 1, 0, NOON + HOUR),
            (Priority.NORMAL, "shop", 2, 2, NOON - 9),
        ]
        assert (row.waiting, row.oldest_due_at) == (3, NOON - 9)


async def test_a_blocked_sender_still_holds_its_rows_in_whatever_lane_they_lie(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(account=A, sender=A)
        lease = await spool.lease(A)
        await spool.spool.move(move_of(await spool.due(lease.lane), lease))
        block = SenderBlock(mailbox=A, sender=A, since=NOON, probe_at=NOON + HOUR, reason="smtp.send_as")
        await spool.spool.block_sender(block)
        assert await spool.status(message) is Status.HELD


def test_the_strand_is_client_route_and_a_sender_with_a_pace() -> None:
    envelope = Envelope(A, (Recipient(B, Kind.TO),))
    new = replace(_new(), client="shop", route=("graph", "smtp"), sender=A, envelope=envelope)
    assert new.strand == "shop\ngraph,smtp"
    assert replace(new, paced=True).strand == f"shop\ngraph,smtp\n{A}"


def _new():
    class Nobody:
        pass

    return House(Nobody(), Clock()).new()  # ty: ignore[invalid-argument-type] - only what makes messages


BLOCKED = Blocked(scope=Scope.MAILBOX, answer=Answer(status="4.3.5", text="no right"))


async def test_a_blocked_attempt_reached_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(BLOCKED, Status.QUEUED, to=THREE, finish={"due_at": NOON})
        assert sum(count for _, count in await spool.spool.recipient_hours(since=NOON)) == 0
