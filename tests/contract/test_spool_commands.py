"""What people may do to a message, and what the rules of PROMISES §5 forbid; expiry."""

from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.outcome import Answer, Blocked, Scope
from posthouse.records import Action, NoSuchMessage, NotPossible, Obeyed, Verdict
from tests.contract.spools import DAY, HOUR, LATER, NOON, SECOND, SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")


async def test_a_queued_or_held_message_can_be_canceled(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        for message_id in (await spool.put(), await spool.put(held_cause="client_paused")):
            assert await spool.obey(Action.CANCEL, message_id) == Obeyed(Status.CANCELED)
            record = await spool.record(message_id)
            assert (record.status, record.finished_at, record.held_cause) == (Status.CANCELED, NOON, None)
            last = (await spool.spool.events(message_id))[-1]
            assert (last.type, last.data["by"]) == ("message.canceled", "ann")
        lease = await spool.lease()
        assert await spool.due(lease.lane) == []


async def test_a_message_on_its_way_or_final_cannot_be_canceled(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        assert isinstance(await spool.obey(Action.CANCEL, row.id), NotPossible)
        await spool.finish(row, SENT, Status.SENT)
        await spool.release(lease)
        assert isinstance(await spool.obey(Action.CANCEL, row.id), NotPossible)
        assert await spool.history(row.id) == ["accepted", "sending", "sent"]


async def test_another_clients_message_does_not_exist(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await spool.put()
        assert await spool.obey(Action.CANCEL, message_id, client="crm") == NoSuchMessage()
        assert await spool.obey(Action.CANCEL, spool.new().id) == NoSuchMessage()
        assert await spool.obey(Action.CANCEL, message_id, client="shop") == Obeyed(Status.CANCELED)


async def test_a_failed_message_goes_again_and_counts_on(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.FAILED)
        spool.clock.at += HOUR
        assert await spool.obey(Action.RETRY, row.id) == Obeyed(Status.QUEUED)
        record = await spool.record(row.id)
        assert (record.status, record.finished_at, record.due_at) == (Status.DEFERRED, None, NOON + HOUR)
        lease = await spool.lease()
        (again,) = await spool.due(lease.lane)
        assert again.attempts == 1
        assert await spool.spool.mark(spool.mark_of(again, fence=lease.fence))


async def test_an_expired_message_needs_a_new_expiry(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await spool.put(expires_at=NOON)
        assert await spool.spool.expire(now=NOON, most=9) == 1
        assert isinstance(await spool.obey(Action.RETRY, message_id), NotPossible)
        assert isinstance(await spool.obey(Action.RETRY, message_id, expires_at=NOON), NotPossible)
        assert await spool.obey(Action.RETRY, message_id, expires_at=NOON + HOUR) == Obeyed(Status.QUEUED)
        assert (await spool.record(message_id)).expires_at == NOON + HOUR


@pytest.mark.parametrize("status", [Status.SENT, Status.CANCELED])
async def test_a_sent_or_canceled_message_is_not_retried(tmp_path: Path, status: Status) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT) if status is Status.SENT else None
        message_id = row.id if row else await spool.put()
        if row is None:
            await spool.obey(Action.CANCEL, message_id)
        assert isinstance(await spool.obey(Action.RETRY, message_id), NotPossible)
        assert await spool.status(message_id) is status


async def test_a_message_whose_content_is_gone_is_not_retried(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.FAILED)
        await spool.spool.purge(now=NOON + 2 * DAY, retention=86_400.0, content_retention=86_400.0, most=1)
        answer = await spool.obey(Action.RETRY, row.id)
        assert isinstance(answer, NotPossible)
        assert "purged" in answer.detail


async def test_an_unsettled_message_is_retried_only_with_the_risk_accepted(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert isinstance(await spool.obey(Action.RETRY, row.id), NotPossible)
        assert await spool.status(row.id) is Status.UNCONFIRMED
        assert await spool.obey(Action.RETRY, row.id, accept_duplicate=True) == Obeyed(Status.QUEUED)
        (again,) = await spool.due(row.lane)
        assert again.accept_duplicate
        assert not await spool.settle(row, Verdict.SENT)
        assert await spool.next_look() is None


async def test_a_held_message_in_doubt_is_not_retried_either(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        await spool.settle(row, Verdict.HELD, cause="unconfirmed_no_right", look_at=NOON + HOUR)
        assert isinstance(await spool.obey(Action.RETRY, row.id), NotPossible)
        assert await spool.obey(Action.RETRY, row.id, accept_duplicate=True) == Obeyed(Status.QUEUED)


async def test_a_waiting_message_is_retried_now(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + HOUR})
        held = await spool.put(held_cause="client_paused")
        for message_id in (row.id, held):
            assert await spool.obey(Action.RETRY, message_id) == Obeyed(Status.QUEUED)
        assert {again.id for again in await spool.due(row.lane)} == {row.id, held}


async def test_release_lets_a_held_message_go(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await spool.put(held_cause="client_paused")
        assert await spool.obey(Action.RELEASE, message_id) == Obeyed(Status.QUEUED)
        assert (await spool.record(message_id)).held_cause is None
        assert isinstance(await spool.obey(Action.RELEASE, message_id), NotPossible)
        assert await spool.spool.next_due() == NOON


async def test_release_of_an_unsettled_message_looks_again_now(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt(look_in=HOUR)
        spool.woken.clear()
        assert await spool.obey(Action.RELEASE, row.id) == Obeyed(Status.UNCONFIRMED)
        assert await spool.next_look() == NOON
        assert spool.woken == {row.lane}


async def test_the_operators_word_settles(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        sent, lost = await spool.doubt(), await spool.doubt()
        assert await spool.obey(Action.SETTLE_SENT, sent.id) == Obeyed(Status.SENT)
        assert await spool.obey(Action.SETTLE_NOT_SENT, lost.id) == Obeyed(Status.QUEUED)
        assert isinstance(await spool.obey(Action.SETTLE_SENT, sent.id), NotPossible)
        assert isinstance(await spool.obey(Action.SETTLE_SENT, lost.id), NotPossible)
        event = next(e for e in await spool.spool.events(sent.id) if e.type == "message.settled")
        assert event.data == {"verdict": "sent", "by": "ann"}


async def test_every_deed_is_audited_and_a_refused_one_is_not(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await spool.put()
        await spool.obey(Action.RELEASE, message_id)
        await spool.obey(Action.CANCEL, message_id)
        assert await audit(spool) == [("ann", "message.cancel", message_id)]


async def test_expiry_ends_queued_and_held_rows_only_when_it_has_come(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        queued = await spool.put(expires_at=NOON + SECOND)
        held = await spool.put(expires_at=NOON + SECOND, held_cause="client_paused")
        later = await spool.put(expires_at=NOON + 2 * SECOND)
        never = await spool.put()
        assert await spool.spool.expire(now=NOON, most=9) == 0
        assert await spool.spool.expire(now=NOON + SECOND, most=1) == 1
        assert await spool.spool.expire(now=NOON + SECOND, most=9) == 1
        assert [await spool.status(m) for m in (queued, held, later, never)] == [
            Status.EXPIRED,
            Status.EXPIRED,
            Status.QUEUED,
            Status.QUEUED,
        ]
        assert (await spool.history(queued))[-1] == "expired"


async def test_the_default_expiry_ends_nothing_by_itself(tmp_path: Path) -> None:
    """It is judged after an attempt that failed: whatever kept it waiting so long was no failure of its own (PROMISES §6)."""
    async with house(tmp_path) as spool:
        waits = await spool.put(gives_up_at=NOON + HOUR)
        held = await spool.put(gives_up_at=NOON + HOUR, held_cause="client_paused")
        assert await spool.spool.expire(now=NOON + 99 * DAY, most=9) == 0
        assert [await spool.status(one) for one in (waits, held)] == [Status.QUEUED, Status.HELD]


async def test_expiry_takes_an_unsettled_held_ones_right_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt(expires_at=NOON + SECOND)
        await spool.settle(row, Verdict.HELD, cause="unconfirmed_no_right", look_at=NOON + HOUR)
        for _ in range(2):
            assert await spool.spool.expire(now=NOON + SECOND, most=9) == 0
        assert await spool.status(row.id) is Status.HELD
        (item,) = await spool.looks(at=NOON + HOUR)
        assert not item.may_resend
        assert (await spool.history(row.id)).count("resend_withdrawn") == 1


async def test_a_blocked_message_that_is_held_is_not_in_doubt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        outcome = Blocked(scope=Scope.SENDER, answer=Answer(status="5.7.1", text="not allowed"))
        row = await spool.go(outcome, Status.HELD, finish={"held_cause": "sender_blocked"})
        assert not (await spool.record(row.id)).unsettled
        assert await spool.obey(Action.CANCEL, row.id) == Obeyed(Status.CANCELED)


async def audit(spool: House) -> list[tuple[object, ...]]:
    rows = await spool.ask("select by, action, target from audit order by id")
    return list(rows)
