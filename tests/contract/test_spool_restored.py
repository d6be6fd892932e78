"""A copy that is put in the place of its original: what may have gone since is in doubt before it goes (PROMISES §5)."""

import asyncio
from pathlib import Path

import apsw
import pytest

from posthouse.message import OnUnconfirmed, Status
from posthouse.records import Action, SenderBlock, Verdict, Way
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite.backup import back_up
from tests.contract.spools import DAY, HOUR, LATER, LOST, NOON, SECOND, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

WAYS = {"graph": Way("graph"), "smtp": Way("smtp")}
RESTORED = NOON + 2 * HOUR
TAKEN = NOON + HOUR


def names_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def restore(spool: House, *, ways: dict[str, Way] | None = None) -> int | None:
    """The first start of a copy that was made an hour ago."""
    spool.clock.at = RESTORED
    await spool.spool.mark_restored(taken_at=TAKEN)
    return await spool.spool.restored(now=RESTORED, ways=WAYS if ways is None else ways)


async def test_what_was_due_is_looked_for_at_once_and_not_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        tried = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + HOUR})
        queued = await spool.put()
        later = await spool.put(due_at=RESTORED + 1)
        done = await spool.go(SENT, Status.SENT, account="other@contoso.com")
        assert await restore(spool) == 2
        assert await spool.status(later) is Status.SCHEDULED
        assert await spool.status(done.id) is Status.SENT
        items = {item.message.id: item for item in await spool.looks(at=RESTORED, most=9)}
        assert set(items) == {queued, tried.id}
        assert (items[queued].number, items[tried.id].number) == (1, 2)
        for item in items.values():
            assert (item.transport, item.kind, item.account, item.started_at) == ("graph", "graph", SHOP, TAKEN)
            assert (item.since, item.may_resend, item.held) == (RESTORED, True, None)
        for lease in await spool.spool.lease(owner="me", now=RESTORED, most=9):
            assert await spool.due(lease.lane) == []
        (attempt,) = await spool.spool.attempts(queued)
        assert (attempt.outcome, attempt.code) == ("unconfirmed", "restored")
        assert await spool.history(queued) == ["accepted", "unconfirmed"]


async def test_by_a_clock_that_stands_before_the_copy_everything_may_have_been_due(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        later = await spool.put(due_at=NOON + 3 * HOUR)
        await spool.spool.mark_restored(taken_at=TAKEN)
        assert await spool.spool.restored(now=NOON, ways=WAYS) == 1
        assert await spool.status(later) is Status.UNCONFIRMED


async def test_what_a_person_settles_as_not_sent_still_waits_for_its_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        later = await spool.put(due_at=NOON + 3 * HOUR)
        await spool.spool.mark_restored(taken_at=TAKEN)
        await spool.spool.restored(now=NOON, ways=WAYS)
        await spool.obey(Action.SETTLE_NOT_SENT, later)
        assert (await spool.record(later)).due_at == NOON + 3 * HOUR
        assert [await spool.due(lease.lane) for lease in await spool.leases()] == [[]]


async def test_a_spool_that_is_no_copy_is_left_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put()
        assert await spool.spool.restored(now=RESTORED, ways=WAYS) is None
        assert await spool.status(message) is Status.QUEUED


async def test_a_copy_is_settled_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        assert await restore(spool) == 1
        new = await spool.put()
        assert await spool.spool.restored(now=RESTORED, ways=WAYS) is None
        assert await spool.status(new) is Status.QUEUED


@pytest.mark.engine("sqlite")
async def test_a_restore_that_was_interrupted_goes_on_at_the_next_start(tmp_path: Path) -> None:
    stop = "create trigger stop before insert on unsettled when new.message > 250 begin select raise(abort, 'x'); end"
    async with house(tmp_path) as spool:
        ids = [await spool.put() for _ in range(450)]
        await spool.spool.mark_restored(taken_at=TAKEN)
        await spool.sqlite._writer.write(lambda db: db.ask(stop, {}))
        with pytest.raises(apsw.ConstraintError):
            await spool.spool.restored(now=RESTORED, ways=WAYS)
        assert (await spool.spool.counts())[Status.UNCONFIRMED] == 200
        await spool.sqlite._writer.write(lambda db: db.ask("drop trigger stop", {}))
    async with house(tmp_path) as spool:
        assert await spool.spool.restored(now=RESTORED, ways=WAYS) == 250
        assert {await spool.status(one) for one in ids} == {Status.UNCONFIRMED}
        assert len(await spool.looks(at=RESTORED, most=999)) == 450


@pytest.mark.parametrize("status", [Status.QUEUED, Status.HELD])
async def test_not_sent_goes_back_to_where_it_was(tmp_path: Path, status: Status) -> None:
    async with house(tmp_path) as spool:
        cause = "client_paused" if status is Status.HELD else None
        message = await spool.put(held_cause=cause)
        await restore(spool)
        (item,) = await spool.looks(at=RESTORED, most=9)
        assert await spool.settle(item.message, Verdict.NOT_SENT, number=item.number)
        record = await spool.record(message)
        expected = Status.HELD if status is Status.HELD else Status.DEFERRED
        assert (record.status, record.held_cause, record.unsettled) == (expected, cause, False)
        assert bool(await spool.due(item.message.lane)) == (status is Status.QUEUED)


async def test_sent_since_the_copy_is_sent_also_where_it_was_held(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(held_cause="client_paused")
        await restore(spool)
        (item,) = await spool.looks(at=RESTORED, most=9)
        await spool.settle(item.message, Verdict.SENT, number=item.number)
        assert await spool.status(message) is Status.SENT


async def test_what_a_block_held_goes_on_where_the_block_ended_meanwhile(tmp_path: Path) -> None:
    pair = {"mailbox": SHOP, "sender": SHOP}
    async with house(tmp_path) as spool:
        await spool.spool.block_sender(SenderBlock(**pair, since=NOON, probe_at=NOON + DAY, reason="x"))
        first, second = await spool.put(), await spool.put()
        await restore(spool)
        one, two = await spool.looks(at=RESTORED, most=9)
        await spool.settle(one.message, Verdict.NOT_SENT, number=1)
        assert (await spool.record(first)).held_cause == "sender_blocked"
        await spool.spool.unblock_sender(**pair, at=RESTORED)
        await spool.settle(two.message, Verdict.NOT_SENT, number=1)
        assert {await spool.status(one) for one in (first, second)} == {Status.DEFERRED}


async def test_the_clients_wish_counts(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        again = await spool.put(on_unconfirmed=OnUnconfirmed.RETRY)
        person = await spool.put(on_unconfirmed=OnUnconfirmed.HOLD)
        assert await restore(spool) == 1
        assert await spool.status(again) is Status.QUEUED
        record = await spool.record(person)
        assert (record.status, record.held_cause, record.unsettled) == (Status.HELD, "unconfirmed", True)
        assert await spool.next_look() is None


@pytest.mark.parametrize("ways", [{"graph": Way("graph"), "smtp": Way("smtp", "login@contoso.com")}, {}])
async def test_what_no_look_up_could_prove_waits_for_a_person(tmp_path: Path, ways: dict[str, Way]) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put()
        assert await restore(spool, ways=ways) == 1
        record = await spool.record(message)
        assert (record.status, record.held_cause, record.unsettled) == (Status.HELD, "unconfirmed", True)
        await spool.obey(Action.SETTLE_NOT_SENT, message)
        assert await spool.status(message) is Status.DEFERRED


async def test_a_login_that_is_the_only_way_is_where_it_is_looked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(route=("gone", "smtp"))
        await restore(spool, ways={"smtp": Way("smtp", "login@contoso.com")})
        (item,) = await spool.looks(at=RESTORED, most=9)
        assert (item.transport, item.kind, item.account) == ("smtp", "smtp", "login@contoso.com")


async def test_what_was_in_doubt_or_being_sent_is_given_its_whole_time_again(tmp_path: Path) -> None:
    async with house(tmp_path, owner="dead") as spool:
        doubtful = await spool.doubt(account="a@contoso.com")
        await spool.settle(doubtful, Verdict.LATER, looks=4, absent_at=NOON, look_at=NOON + 9 * DAY)
        await spool.start()
    async with house(tmp_path, owner="alive") as spool:
        spool.clock.at = RESTORED
        await spool.spool.mark_restored(taken_at=TAKEN)
        assert await spool.spool.recover(now=RESTORED, grace=10.0) == 1
        assert await spool.spool.restored(now=RESTORED, ways=WAYS) == 0
        items = await spool.looks(at=RESTORED, most=9)
        assert [(item.since, item.looks, item.last_absent_at) for item in items] == [(RESTORED, 0, None)] * 2


async def test_the_attempt_of_a_restore_is_no_witness_no_first_try_and_no_reason_to_expire(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        found, absent = await spool.put(), await spool.put(gives_up_at=NOON + 5 * DAY)
        spool.clock.at = NOON + 6 * DAY
        await spool.spool.mark_restored(taken_at=TAKEN)
        await spool.spool.restored(now=spool.clock.at, ways=WAYS)
        one, two = await spool.looks(at=spool.clock.at, most=9)
        assert {one.message.id, two.message.id} == {found, absent}
        await spool.settle(one.message, Verdict.SENT)
        await spool.settle(two.message, Verdict.NOT_SENT)
        for account in (SHOP, None):
            asked = {"account": account, "kind": "graph", "own": True, "before": NOON + 9 * DAY, "after": 0, "most": 9}
            assert await spool.spool.witnesses(**asked) == []
        (row,) = await spool.due(two.message.lane)
        assert row.first_tried_at is None
        assert row.gives_up_at >= spool.clock.at + 5 * DAY


async def test_what_was_in_doubt_and_may_have_gone_by_another_account_since_waits_for_a_person(tmp_path: Path) -> None:
    """It may have been settled and gone by the other account after the copy: absence in the first proves nothing."""
    ways = {"graph": Way("graph"), "smtp": Way("smtp", "login@contoso.com")}
    async with house(tmp_path) as spool:
        lost, canceled = await spool.doubt(), await spool.doubt()
        one_way = await spool.doubt(route=("graph",))
        await spool.obey(Action.CANCEL, canceled.id)
        await restore(spool, ways=ways)
        record = await spool.record(lost.id)
        assert (record.status, record.held_cause, record.unsettled) == (Status.HELD, "unconfirmed", True)
        assert (await spool.history(lost.id))[-1] == "held"
        assert {item.message.id for item in await spool.looks(at=RESTORED, most=9)} == {canceled.id, one_way.id}
        await spool.settle(lost, Verdict.SENT, number=1)
        assert await spool.status(lost.id) is Status.SENT


async def test_a_late_answer_to_an_attempt_before_the_restore_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED)
        await restore(spool)
        assert not await spool.finish(row, LOST, Status.UNCONFIRMED)
        assert await spool.status(row.id) is Status.UNCONFIRMED


async def test_a_copy_that_others_made_is_as_old_as_the_last_thing_it_knows_of(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        spool.clock.at += 7 * SECOND
        await spool.put()
        spool.clock.at = RESTORED
        assert await spool.spool.mark_restored(taken_at=None) == NOON + 7 * SECOND
        assert await spool.spool.mark_restored(taken_at=NOON) == NOON + 7 * SECOND
        assert await spool.spool.mark_restored(taken_at=RESTORED) == RESTORED


# --- the copy itself


@pytest.mark.engine("sqlite")
async def test_a_copy_taken_under_load_is_whole_and_knows_that_it_is_one(tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "spool.sqlite"
    copy.parent.mkdir()
    secrets = Secrets(master="m" * 40)
    async with house(tmp_path, secrets=secrets) as spool:
        before = [await spool.put(body=b"x" * 300_000) for _ in range(3)]
        writing = [spool.put() for _ in range(300)]
        back_up_at = asyncio.to_thread(back_up, tmp_path / "spool.sqlite", copy, now=TAKEN)
        await asyncio.gather(back_up_at, *writing)
    assert names_in(copy.parent) == ["spool.sqlite"]
    assert copy.stat().st_mode & 0o777 == 0o600
    async with house(copy.parent, secrets=secrets) as spool:
        spool.clock.at = RESTORED
        present = (await spool.spool.counts())[Status.QUEUED]
        assert 3 <= present <= 303
        assert await spool.spool.restored(now=RESTORED, ways=WAYS) == present
        for message in before:
            key = await spool.spool.key_of(message)
            assert key is not None
            content = await spool.spool.content(key)
            assert content is not None
            assert sum([len(block) async for block in content.body.blocks()]) == 300_000


@pytest.mark.engine("sqlite")
async def test_a_copy_of_a_spool_that_nobody_has_open_can_be_taken(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put()
    back_up(tmp_path / "spool.sqlite", tmp_path / "copy", now=TAKEN)
    (tmp_path / "copy").rename(tmp_path / "spool.sqlite")
    async with house(tmp_path) as spool:
        await spool.spool.restored(now=RESTORED, ways=WAYS)
        assert await spool.status(message) is Status.UNCONFIRMED


@pytest.mark.engine("sqlite")
async def test_a_copy_that_fails_leaves_the_one_before_it_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path / "state"):
        pass
    target = tmp_path / "copy"
    target.write_bytes(b"the copy of yesterday")
    (tmp_path / "broken").write_bytes(b"x" * 9_000)
    for source in (tmp_path / "broken", tmp_path / "none"):
        with pytest.raises(SpoolRefusedError):
            back_up(source, target, now=TAKEN)
    assert target.read_bytes() == b"the copy of yesterday"
    assert names_in(tmp_path) == ["broken", "copy", "state"]
    back_up(tmp_path / "state" / "spool.sqlite", target, now=TAKEN)
    assert target.read_bytes()[:15] == b"SQLite format 3"
