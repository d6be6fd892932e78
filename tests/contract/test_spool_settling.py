"""Doubt: who is unsettled, until when, what ends it, and what a dead process leaves behind (PROMISES §5)."""

from pathlib import Path

import pytest

from posthouse.message import OnUnconfirmed, Status
from posthouse.records import Action, Mark, Obeyed, Verdict
from tests.contract.spools import DAY, HOUR, LATER, LOST, NOON, SECOND, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")


async def test_an_unsettled_message_is_looked_for_when_its_time_comes(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt(look_in=5 * SECOND)
        assert await spool.next_look() == NOON + 5 * SECOND
        assert await spool.looks(at=NOON + 5 * SECOND - 1) == []
        (item,) = await spool.looks(at=NOON + 5 * SECOND)
        assert (item.message.id, item.message.message_id) == (row.id, row.message_id)
        assert (item.number, item.transport, item.kind, item.account) == (1, "graph", "graph", SHOP)
        assert (item.started_at, item.since, item.looks, item.may_resend, item.held) == (NOON, NOON, 0, True, None)


async def test_a_doubt_wakes_whoever_settles(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        spool.woken.clear()
        await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=NOON)
        assert spool.woken == {row.lane}


async def test_settled_as_sent_is_final_with_its_evidence(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert await spool.settle(row, Verdict.SENT, data={"copies": 1})
        assert await spool.status(row.id) is Status.SENT
        assert await spool.next_look() is None
        settled = (await spool.spool.events(row.id))[-2]
        assert (settled.type, settled.data) == ("message.settled", {"verdict": "sent", "copies": 1})
        assert not await spool.settle(row, Verdict.NOT_SENT)
        assert await spool.status(row.id) is Status.SENT


async def test_settled_as_not_sent_goes_again_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert await spool.due(row.lane) == []
        spool.clock.at += HOUR
        assert await spool.settle(row, Verdict.NOT_SENT)
        due = await spool.spool.next_due()
        assert due is not None
        assert due <= NOON + HOUR
        (again,) = await spool.due(row.lane)
        assert (again.attempts, again.message_id) == (1, row.message_id)


async def test_not_sent_past_its_expiry_ends_expired(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt(expires_at=NOON + SECOND)
        spool.clock.at += SECOND
        assert await spool.spool.expire(now=spool.clock.at, most=9) == 0
        assert await spool.status(row.id) is Status.UNCONFIRMED
        await spool.settle(row, Verdict.NOT_SENT)
        assert await spool.status(row.id) is Status.EXPIRED


async def test_not_sent_after_a_cancel_ends_canceled(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert await spool.obey(Action.CANCEL, row.id) == Obeyed(Status.UNCONFIRMED)
        (item,) = await spool.looks(at=NOON + HOUR)
        assert not item.may_resend
        await spool.settle(row, Verdict.NOT_SENT)
        assert await spool.status(row.id) is Status.CANCELED


async def test_a_late_failure_after_a_cancel_ends_canceled_too(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        await spool.obey(Action.CANCEL, row.id)
        assert await spool.finish(row, LATER, Status.QUEUED, ended_at=NOON + 1, due_at=NOON)
        assert (await spool.status(row.id), (await spool.history(row.id))[-1]) == (Status.CANCELED, "canceled")
        assert await spool.due(row.lane) == []
        assert await spool.next_look() is None


async def test_sent_after_a_cancel_is_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        await spool.obey(Action.CANCEL, row.id)
        await spool.settle(row, Verdict.SENT)
        assert await spool.status(row.id) is Status.SENT


async def test_held_in_doubt_is_looked_at_again_and_told_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        for looks in (1, 2):
            changes = {"cause": "unconfirmed_no_right", "look_at": NOON + looks * HOUR, "looks": looks}
            assert await spool.settle(row, Verdict.HELD, absent_at=NOON, **changes)
        record = await spool.record(row.id)
        assert (record.status, record.held_cause, record.unsettled) == (Status.HELD, "unconfirmed_no_right", True)
        (item,) = await spool.looks(at=NOON + 2 * HOUR)
        assert (item.held, item.looks, item.last_absent_at) == ("unconfirmed_no_right", 2, NOON)
        assert (await spool.history(row.id))[-2:] == ["unconfirmed", "held"]


async def test_a_later_look_changes_nothing_but_its_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert await spool.settle(row, Verdict.LATER, look_at=NOON + HOUR)
        assert await spool.status(row.id) is Status.UNCONFIRMED
        assert await spool.next_look() == NOON + HOUR


async def test_a_conclusion_about_an_older_attempt_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert not await spool.settle(row, Verdict.SENT, number=2)
        assert await spool.status(row.id) is Status.UNCONFIRMED


# --- a dead process


async def died(folder: Path, **changes) -> Mark:
    """A process that ended while a message was ``sending``, its lane leased."""
    async with house(folder, owner="dead") as spool:
        await spool.put(**changes)
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        mark = spool.mark_of(row, fence=lease.fence)
        assert await spool.spool.mark(mark)
        await spool.die()
        return mark


async def test_what_a_dead_process_was_sending_is_in_doubt_from_its_deadline(tmp_path: Path) -> None:
    mark = await died(tmp_path)
    async with house(tmp_path, owner="alive") as spool:
        assert await spool.spool.recover(now=NOON, grace=10.0) == 1
        assert await spool.status(mark.id) is Status.UNCONFIRMED
        (item,) = await spool.looks(at=NOON + DAY)
        assert item.since == mark.deadline_at + 10 * SECOND
        assert (item.number, item.account, item.transport, item.may_resend) == (1, SHOP, "graph", True)
        assert (await spool.spool.attempts(mark.id))[0].outcome == "unconfirmed"
        assert (await spool.history(mark.id))[-1] == "unconfirmed"
        assert await spool.spool.recover(now=NOON, grace=10.0) == 0


async def test_a_dead_owners_lanes_are_free_again(tmp_path: Path) -> None:
    await died(tmp_path)
    async with house(tmp_path, owner="alive") as spool:
        await spool.put()
        await spool.spool.recover(now=NOON, grace=10.0)
        assert len(await spool.leases()) == 1


@pytest.mark.parametrize(
    ("wish", "status", "unsettled"),
    [(OnUnconfirmed.RETRY, Status.DEFERRED, False), (OnUnconfirmed.HOLD, Status.HELD, True)],
)
async def test_recovery_does_what_the_client_wants(
    tmp_path: Path,
    wish: OnUnconfirmed,
    status: Status,
    unsettled: bool,  # noqa: FBT001 - a case
) -> None:
    mark = await died(tmp_path, on_unconfirmed=wish)
    async with house(tmp_path, owner="alive") as spool:
        await spool.spool.recover(now=NOON, grace=10.0)
        record = await spool.record(mark.id)
        assert (record.status, record.unsettled) == (status, unsettled)
        assert await spool.next_look() is None
        due = await spool.due(mark.lane)
        assert [row.id for row in due] == ([mark.id] if status is Status.DEFERRED else [])


async def test_recovery_leaves_this_process_own_sends_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        assert await spool.spool.recover(now=NOON + DAY, grace=10.0) == 0
        assert await spool.status(row.id) is Status.SENDING


# --- witnesses


async def ids(spool: House, **changes) -> list[str]:
    asked: dict = {"account": SHOP, "kind": "graph", "own": True, "before": NOON + DAY, "after": NOON - DAY, "most": 9}
    found = await spool.spool.witnesses(**{**asked, **changes})
    return [witness.id for witness in found]


async def test_witnesses_are_sent_messages_of_the_account_latest_first(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        first = await spool.go(SENT, Status.SENT)
        spool.clock.at += SECOND
        found = await spool.doubt()
        await spool.settle(found, Verdict.SENT)
        other = await spool.go(SENT, Status.SENT, account="other@contoso.com")
        foreign = await spool.go(SENT, Status.SENT, own_message_id=False)
        await spool.go(LATER, Status.FAILED)
        await spool.doubt()
        assert await ids(spool) == [found.id, first.id]
        assert await ids(spool, most=1) == [found.id]
        assert await ids(spool, own=False) == [foreign.id]
        assert await ids(spool, kind="smtp") == []
        assert await ids(spool, before=NOON + 1) == [first.id]
        assert await ids(spool, after=NOON + 1) == [found.id]
        assert set(await ids(spool, account=None)) == {other.id, found.id, first.id}


async def test_under_a_message_id_of_a_client_only_an_answer_makes_a_witness(tmp_path: Path) -> None:
    """The copy that was found while settling may be another mail's."""
    async with house(tmp_path) as spool:
        answered = await spool.go(SENT, Status.SENT, own_message_id=False)
        found = await spool.doubt(own_message_id=False)
        await spool.settle(found, Verdict.SENT)
        assert await ids(spool, own=False) == await ids(spool, own=False, account=None) == [answered.id]


async def test_a_message_id_that_went_by_two_kinds_of_transport_testifies_for_neither(tmp_path: Path) -> None:
    """The copy that is found may be the other's."""
    async with house(tmp_path) as spool:
        same: dict = {"message_id": "<same@shop>", "own_message_id": False}
        code = await spool.go(LOST, Status.QUEUED, finish={"due_at": NOON}, **same)
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence, transport="smtp"))
        assert await spool.finish(row, SENT, Status.SENT)
        assert (await spool.status(code.id), await ids(spool, own=False, kind="smtp")) == (Status.SENT, [])
        await spool.release(lease)
        await spool.go(SENT, Status.SENT, **same)
        assert await ids(spool, own=False, account=None) == []
        other = await spool.go(SENT, Status.SENT, message_id="<other@shop>", own_message_id=False)
        assert await ids(spool, own=False) == await ids(spool, own=False, account=None) == [other.id]


async def test_messages_that_share_a_message_id_are_known_by_what_reached_the_wire(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        same: dict = {"message_id": "<same@shop>", "own_message_id": False}
        sent = await spool.go(SENT, Status.SENT, **same)
        doubtful = await spool.doubt(**same)
        again = await spool.doubt(**same)
        await spool.settle(again, Verdict.NOT_SENT)
        await spool.obey(Action.CANCEL, again.id)
        never = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + DAY}, **same)
        await spool.go(SENT, Status.SENT, account="other@contoso.com", **same)
        spool.clock.at += SECOND
        going, lease = await spool.start(**same)
        await spool.finish(going, LOST, Status.QUEUED, due_at=spool.clock.at)
        (row,) = [one for one in await spool.due(lease.lane) if one.id == going.id]
        assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        found = await spool.spool.sharing(account=SHOP, message_id="<same@shop>")
        assert {one.id: one.status for one in found} == {
            sent.id: Status.SENT,
            doubtful.id: Status.UNCONFIRMED,
            going.id: Status.SENDING,
        }
        assert never.id not in {one.id for one in found}
        assert sorted(one.id for one in found) == sorted([sent.id, doubtful.id, going.id, going.id])


async def test_what_shares_a_message_id_says_when_its_first_attempt_began(tmp_path: Path) -> None:
    """What one attempt left in Drafts, another may send: no copy of a message is older than its first attempt."""
    async with house(tmp_path) as spool:
        same: dict = {"message_id": "<same@shop>", "own_message_id": False}
        began = spool.clock.at
        again = await spool.go(LATER, Status.QUEUED, finish={"due_at": began + SECOND}, **same)
        spool.clock.at += HOUR
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=spool.clock.at + SECOND)
        await spool.release(lease)
        other = await spool.doubt(**same)
        found = await spool.spool.sharing(account=SHOP, message_id="<same@shop>")
        assert {one.id: one.began for one in found} == {again.id: began, other.id: began + HOUR}
