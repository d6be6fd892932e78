"""Times and priority of a message are changed while it is not being sent, and never otherwise (CONTRACT §2.1)."""

from pathlib import Path
from typing import Any

import pytest

from posthouse.message import Priority, Status
from posthouse.records import Action, Change, CommandResult, NotPossible, Obeyed
from tests.contract.spools import HOUR, LATER, LOST, NOON, SECOND, SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")


async def change(spool: House, message_id, *, owner: str | None = "shop", **fields: Any) -> CommandResult:
    return await spool.obey(Action.CHANGE, message_id, owner=owner, change=Change(**fields))


async def test_a_waiting_message_gets_other_times_and_another_priority(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(due_at=NOON + HOUR)
        spool.woken.clear()
        assert await change(spool, message, due_at=NOON, expires_at=NOON + 9, priority=Priority.HIGH) == Obeyed(
            Status.QUEUED
        )
        record = await spool.record(message)
        assert (record.due_at, record.expires_at, record.priority) == (NOON, NOON + 9, Priority.HIGH)
        assert await spool.spool.next_due() == NOON
        assert spool.woken
        last = (await spool.spool.events(message))[-1]
        assert last.type == "message.changed"
        assert last.data == {"by": "ann", "scheduled_at": NOON, "expires_at": NOON + 9, "priority": "high"}
        await change(spool, message, never_expires=True)
        assert (await spool.record(message)).expires_at is None


async def test_a_held_message_may_be_changed_and_stays_held(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(held_cause="client_paused")
        assert await change(spool, message, priority=Priority.LOW) == Obeyed(Status.HELD)
        assert await spool.spool.next_due() is None


@pytest.mark.parametrize("where", ["sending", "unconfirmed", "sent"])
async def test_a_message_that_left_cannot_be_changed(tmp_path: Path, where: str) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        if where != "sending":
            outcome, look_at = (LOST, NOON) if where == "unconfirmed" else (SENT, None)
            await spool.finish(row, outcome, Status(where), look_at=look_at)
        assert isinstance(await change(spool, row.id, priority=Priority.HIGH), NotPossible)
        assert (await spool.record(row.id)).priority is Priority.NORMAL


async def test_a_message_that_was_tried_may_be_tried_sooner(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + HOUR})
        await change(spool, row.id, due_at=NOON)
        assert await spool.spool.next_due() == NOON


async def test_what_would_expire_before_it_is_due_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(expires_at=NOON + HOUR)
        assert isinstance(await change(spool, message, due_at=NOON + HOUR), NotPossible)
        assert isinstance(await change(spool, message, expires_at=NOON), NotPossible)
        assert isinstance(await change(spool, message, due_at=NOON + 5, expires_at=NOON + 4), NotPossible)
        assert isinstance(await change(spool, message, due_at=NOON + HOUR, never_expires=True), Obeyed)


async def test_a_row_in_the_hands_of_its_lane_is_not_sent_before_its_new_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await change(spool, message, due_at=NOON + SECOND)
        assert not await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await spool.due(lease.lane) == []


async def test_the_audit_keeps_what_others_than_the_owner_change(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put()
        await change(spool, message, priority=Priority.HIGH)
        assert await audited(spool) == []
        await change(spool, message, owner="erp", priority=Priority.LOW)
        await change(spool, message, owner=None, priority=Priority.HIGH)
        assert await audited(spool) == ["message.change", "message.change"]


async def audited(spool: House) -> list[str]:
    return [row[0] for row in await spool.ask("select action from audit order by id")]
