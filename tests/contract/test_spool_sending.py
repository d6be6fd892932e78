"""The writes around the wire: fenced marks, outcomes bound to their attempt, refused recipients, history."""

import asyncio
from pathlib import Path

import pytest

from posthouse.message import OnUnconfirmed, Status
from posthouse.outcome import Answer, PermanentFailure, RefusedRecipient, Scope, Sent, TransientFailure
from posthouse.records import Action, Pause, Verdict
from tests.contract.spools import HOUR, LATER, LOST, NOON, SECOND, SENT, SHOP, house

pytestmark = pytest.mark.usefixtures("engine")


async def test_a_mark_is_durable_and_counts_the_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
    async with house(tmp_path) as again:
        record = await again.record(row.id)
        assert (record.status, record.attempts, record.transport) == (Status.SENDING, 1, "graph")
        (attempt,) = await again.spool.attempts(row.id)
        assert (attempt.number, attempt.started_at, attempt.ended_at, attempt.account) == (1, NOON, None, SHOP)


async def test_a_message_is_marked_only_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert not await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await spool.history(row.id) == ["accepted", "sending"]


async def test_a_message_canceled_after_it_was_read_is_not_marked(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.obey(Action.CANCEL, row.id)
        assert not await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await spool.status(row.id) is Status.CANCELED


async def test_an_old_fence_marks_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        old = await spool.lease()
        (row,) = await spool.due(old.lane)
        await spool.release(old)
        assert not await spool.spool.mark(spool.mark_of(row, fence=old.fence))
        new = await spool.lease()
        assert new.fence > old.fence
        assert not await spool.spool.mark(spool.mark_of(row, fence=old.fence))
        assert await spool.status(row.id) is Status.QUEUED
        assert await spool.spool.mark(spool.mark_of(row, fence=new.fence))


async def test_a_message_past_its_own_expiry_is_not_marked(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(expires_at=NOON + SECOND)
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        spool.clock.at += SECOND
        assert not await spool.spool.mark(spool.mark_of(row, fence=lease.fence))


async def test_a_sent_message_is_final_with_the_answer_in_its_history(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT, finish={"data": {"seconds": 0.25}})
        record = await spool.record(row.id)
        assert (record.status, record.finished_at, record.unsettled) == (Status.SENT, NOON, False)
        last = (await spool.spool.events(row.id))[-1]
        assert last.type == "message.sent"
        told = {"transport": "graph", "attempt": 1, "status": "2.0.0", "request_id": "r-1", "seconds": 0.25}
        assert told.items() <= last.data.items()
        (attempt,) = await spool.spool.attempts(row.id)
        assert (attempt.outcome, attempt.reply, attempt.ended_at) == ("sent", 202, NOON)


async def test_a_deferred_message_comes_back_when_it_is_due_by_the_transport_it_falls_back_to(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(
            LATER, Status.QUEUED, finish={"due_at": NOON + HOUR, "next_transport": "smtp", "event": "message.deferred"}
        )
        assert await spool.spool.next_due() == NOON + HOUR
        assert await spool.due(row.lane) == []
        spool.clock.at += HOUR
        (again,) = await spool.due(row.lane)
        assert (again.attempts, again.next_transport) == (1, "smtp")


async def test_a_row_that_goes_back_into_the_queue_wakes_its_lane(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        spool.woken.clear()
        await spool.finish(row, LATER, Status.QUEUED, due_at=NOON)
        assert spool.woken == {row.lane}


async def test_a_late_failure_puts_a_row_into_a_lane_that_was_given_back(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert await spool.due(row.lane) == []
        assert await spool.finish(row, LATER, Status.QUEUED, ended_at=NOON + 1, due_at=NOON + SECOND)
        assert await spool.spool.next_due() == NOON + SECOND


async def test_an_outcome_that_was_overtaken_is_only_an_event(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await spool.finish(row, LATER, Status.QUEUED, due_at=NOON)
        (again,) = await spool.due(lease.lane)
        assert await spool.spool.mark(spool.mark_of(again, fence=lease.fence))
        assert not await spool.finish(row, SENT, Status.SENT, ended_at=NOON + 1)
        assert await spool.status(row.id) is Status.SENDING
        assert (await spool.history(row.id))[-1] == "late_outcome"


async def test_a_late_truthful_outcome_ends_the_doubt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        assert await spool.finish(row, SENT, Status.SENT, ended_at=NOON + 1)
        record = await spool.record(row.id)
        assert (record.status, record.unsettled) == (Status.SENT, False)
        assert await spool.next_look() is None


async def test_an_outcome_that_settling_overtook_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        await spool.settle(row, Verdict.SENT)
        assert not await spool.finish(row, LATER, Status.QUEUED, ended_at=NOON + 1, due_at=NOON)
        assert await spool.status(row.id) is Status.SENT


async def test_an_outcome_whose_commits_answer_was_lost_may_be_written_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        assert await spool.finish(row, SENT, Status.SENT)
        assert await spool.finish(row, SENT, Status.SENT)
        assert await spool.history(row.id) == ["accepted", "sending", "sent"]


async def test_many_outcomes_of_one_commit_each_reach_their_message(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        for _ in range(40):
            await spool.put()
        lease = await spool.lease()
        rows = await spool.due(lease.lane, most=40)
        marked = await asyncio.gather(*(spool.spool.mark(spool.mark_of(row, fence=lease.fence)) for row in rows))
        assert all(marked)
        assert all(
            await asyncio.gather(
                *(
                    spool.finish(row, SENT, Status.SENT)
                    if row.key % 2
                    else spool.finish(row, LATER, Status.QUEUED, due_at=NOON + row.key)
                    for row in rows
                )
            )
        )
        assert await spool.spool.counts() == {Status.SENT: 20, Status.QUEUED: 20}
        for row in rows:
            record = await spool.record(row.id)
            assert record.status is (Status.SENT if row.key % 2 else Status.DEFERRED)
            assert record.due_at == (NOON if row.key % 2 else NOON + row.key)


async def test_recipients_refused_before_data_stay_refused_when_the_message_is_settled_as_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start(to=("gone@fabrikam.com", "bob@fabrikam.com"))
        refused = [RefusedRecipient("gone@fabrikam.com", 550, "5.1.1 no such user")]
        await spool.spool.note_refused(key=row.key, number=1, refused=refused)
        await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=NOON)
        await spool.release(lease)
        await spool.settle(row, Verdict.SENT)
        assert [r.refused for r in (await spool.record(row.id)).recipients] == ["550 5.1.1 no such user", None]


async def test_a_refusal_noted_after_the_attempts_end_is_too_late(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        late = [RefusedRecipient("bob@fabrikam.com", 550, "5.1.1 no such user")]
        await spool.spool.note_refused(key=row.key, number=1, refused=late)
        assert [r.refused for r in (await spool.record(row.id)).recipients] == [None]


async def test_a_retry_asks_all_recipients_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        refused = (RefusedRecipient("bob@fabrikam.com", 550, "5.1.1 no such user"),)
        outcome = PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status="5.1.1", text="no"), refused=refused)
        row = await spool.go(outcome, Status.FAILED)
        await spool.obey(Action.RETRY, row.id)
        assert [r.refused for r in (await spool.record(row.id)).recipients] == [None]


async def test_the_next_try_asks_all_recipients_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start(to=("slow@fabrikam.com", "bob@fabrikam.com"))
        refused = (RefusedRecipient("slow@fabrikam.com", 450, "4.2.1 later"),)
        await spool.spool.note_refused(key=row.key, number=1, refused=refused)
        outcome = TransientFailure(
            scope=Scope.MESSAGE, answer=Answer(status="4.2.1", text="later", reply=450), refused=refused
        )
        await spool.finish(row, outcome, Status.QUEUED, due_at=NOON)
        (again,) = await spool.due(lease.lane)
        assert again.envelope.addresses == ("slow@fabrikam.com", "bob@fabrikam.com")
        assert {r.refused for r in (await spool.record(row.id)).recipients} == {None}


async def test_the_outcomes_own_refusals_are_written(tmp_path: Path) -> None:
    refused = (RefusedRecipient("Gone@Fabrikam.com", 550, "5.1.1 no"),)
    sent = Sent(answer=Answer(status="2.0.0", text="ok"), refused=refused)
    failed = PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status="5.1.1", text="all refused"), refused=refused)
    for outcome, status in ((sent, Status.SENT), (failed, Status.FAILED)):
        async with house(tmp_path / status.value) as spool:
            row = await spool.go(outcome, status, to=("gone@fabrikam.com",))
            (recipient,) = (await spool.record(row.id)).recipients
            assert recipient.refused == "550 5.1.1 no"


async def test_on_unconfirmed_hold_is_in_doubt_but_never_looked_up(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LOST, Status.HELD, finish={"held_cause": "unconfirmed"}, on_unconfirmed=OnUnconfirmed.HOLD)
        record = await spool.record(row.id)
        assert (record.status, record.unsettled, record.held_cause) == (Status.HELD, True, "unconfirmed")
        assert await spool.next_look() is None


async def test_a_lease_brings_the_starts_of_the_last_minute_and_the_pauses(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON})
        pause = Pause("graph", NOON + HOUR, "throttled", blocked=False, since=NOON)
        await spool.spool.pause(lane=row.lane, pause=pause)
        spool.clock.at += 59 * SECOND
        lease = await spool.lease()
        assert (lease.account, lease.pauses) == (SHOP, (pause,))
        assert [start.at for start in await spool.starts(lease)] == [NOON]
        await spool.release(lease)
        spool.clock.at += SECOND
        assert await spool.starts(await spool.lease()) == ()


async def test_an_attempt_by_another_account_counts_for_that_accounts_pace(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        mark = spool.mark_of(row, fence=lease.fence, transport="smtp", account="relay@contoso.com")
        assert await spool.spool.mark(mark)
        await spool.finish(row, SENT, Status.SENT)
        await spool.release(lease)
        await spool.put(account="relay@contoso.com")
        relay = await spool.lease()
        assert relay.account == "relay@contoso.com"
        assert [start.at for start in await spool.starts(relay)] == [NOON]
