"""Several processes on one PostgreSQL, each step of them held where it hurts: leases, wake-ups, the feed (SPOOL §6, §8)."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from posthouse.message import Bytes, Status
from posthouse.outcome import Answer, Sent
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Added, NewMessage, Replayed, Submission
from posthouse.spool.postgres import accepting, contents, heart, listening
from posthouse.spool.postgres import committer as committing
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.store import PostgresSpool
from posthouse.spool.postgres.waking import CHANNEL
from posthouse.spool.refused import SpoolRefusedError
from tests.contract.cutting import line
from tests.contract.spools import DATABASES, HOUR, NOON, SECOND, SENT, SHOP, House, house

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engine("postgres")]

AWAKE = "select 1 from lanes where next_at is not null"


def inside(spool: House) -> PostgresSpool:
    assert isinstance(spool.spool, PostgresSpool)
    return spool.spool


@asynccontextmanager
async def two(folder: Path) -> AsyncGenerator[tuple[House, House]]:
    """Two processes on one database."""
    async with house(folder) as one, house(folder, owner="other", clock=one.clock) as other:
        yield one, other


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def insert(spool: House, session: Session, new: NewMessage) -> None:
    """What ``add`` writes, in a transaction of the test's own: an acceptor between its statement and its commit."""
    made = inside(spool)
    lanes = await made._lanes.ids([new.account])
    first = await made._keys.take(1)
    stored = contents.inline(new.content)
    assert stored is not None
    submission = Submission(messages=(new,), answer=b"answer", idempotency=None)
    load = accepting.prepare(submission, first=first, contents=[stored], lanes=lanes, keyring=made._keyring)
    await accepting._insert(session, [load])


# --- what is answered is durable


async def test_what_is_answered_is_synced_although_the_server_would_not(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        ((name,),) = await spool.ask("select current_database()::text")
        await spool.plant(f'alter database "{name}" set synchronous_commit = off')
    try:
        async with house(tmp_path) as spool:
            await spool.put()
            session = inside(spool)._adds._session
            assert session is not None
            assert [tuple(row) for row in await session.ask("show synchronous_commit", {})] == [("on",)]
    finally:
        async with house(tmp_path) as spool:
            await spool.plant(f'alter database "{name}" reset synchronous_commit')


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_does_not_sync_is_refused(tmp_path: Path, setting: str) -> None:
    connection = await asyncpg.connect(DATABASES[tmp_path])
    try:
        await configure(connection, f"alter system set {setting} = off", setting, "off")
        with pytest.raises(SpoolRefusedError, match="fsync or full_page_writes"):
            async with house(tmp_path):
                pass
    finally:
        await configure(connection, f"alter system reset {setting}", setting, "on")
        await connection.close()


async def configure(connection: asyncpg.Connection, command: str, setting: str, wanted: str) -> None:
    await connection.execute(command)
    await connection.execute("select pg_reload_conf()")
    async with asyncio.timeout(20):
        while await connection.fetchval(f"show {setting}") != wanted:
            await asyncio.sleep(0.01)


async def test_a_submission_whose_answer_was_lost_is_found_and_answered_as_kept(tmp_path: Path) -> None:
    async with line(tmp_path) as cut, house(tmp_path) as spool:
        await spool.put()
        cut.needle = b"the lost one"
        assert await spool.add(spool.new(subject="the lost one"), key="order-1") == Added()
        cut.needle = b"another lost one"
        assert await spool.add(spool.new(subject="another lost one")) == Added()
        assert cut.cuts == 2
        assert await spool.add(spool.new(), key="order-1") == Replayed(b"answer")
        assert await spool.spool.counts() == {Status.QUEUED: 3}


async def test_a_mark_and_an_outcome_whose_answers_were_lost_are_written_once_and_known(tmp_path: Path) -> None:
    async with line(tmp_path) as cut, house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        mark = spool.mark_of(row, fence=lease.fence)
        cut.needle = mark.attempt_id.encode()
        assert await spool.spool.mark(mark)
        cut.needle = b"taken, says the server"
        told = Sent(answer=Answer(status="2.0.0", text="taken, says the server", reply=202))
        assert await spool.finish(row, told, Status.SENT, attempt_id=mark.attempt_id)
        assert cut.cuts == 2
        assert await spool.history(row.id) == ["accepted", "sending", "sent"]


async def test_a_database_that_cannot_be_reached_is_told_as_such_and_mail_is_kept_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "AGAIN_SECONDS", 0.5)
    async with line(tmp_path) as cut, house(tmp_path) as spool:
        await spool.put()
        cut.close()
        with pytest.raises(SpoolUnavailableError):
            await spool.add(spool.new())
        assert await spool.spool.writable() is not None
        with pytest.raises(SpoolUnavailableError):
            await spool.spool.counts()
        cut.open = True
        assert await spool.add(spool.new()) == Added()
        assert await spool.spool.writable() is None


async def test_a_process_that_goes_silent_in_a_transaction_holds_nobody_up_for_long(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        await one.put()
        silent = await inside(other)._database.connect()
        await silent.connection.execute("begin")
        await silent.connection.execute("select 1 from lanes for update")
        assert await one.add(one.new()) == Added()
        silent.connection.terminate()


# --- who has a lane


async def test_a_living_worker_keeps_its_lanes_and_one_that_beats_no_more_loses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "LIFE_SECONDS", 1.0)
    monkeypatch.setattr(heart, "BEAT_SECONDS", 0.25)
    async with two(tmp_path) as (one, other):
        await one.put()
        lease = await one.lease()
        started = time.monotonic()
        while time.monotonic() < started + 3.0:
            assert not await other.leases()
            assert 0.0 < one.spool.lease_left() <= 1.0
            await asyncio.sleep(0.1)
        beat = inside(one)._heart._task
        assert beat is not None
        beat.cancel()
        taken: list = []
        async with asyncio.timeout(20):
            while not (taken := await other.leases()):
                await asyncio.sleep(0.05)
        assert one.spool.lease_left() <= 0.0
        assert [(new.lane, new.fence) for new in taken] == [(lease.lane, lease.fence + 1)]


async def test_an_orphaned_lane_is_taken_before_those_that_wait_longer(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        await one.put(account="orphan@contoso.com")
        await one.lease()
        await one.die()
        for number in range(8):
            await other.put(account=f"{number}@contoso.com", due_at=NOON - HOUR, accepted_at=NOON - HOUR)
        taken = await other.leases(most=1)
        assert "orphan@contoso.com" in {lease.account for lease in taken}


async def test_no_worker_takes_more_than_its_share_of_the_lanes_that_are_due(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        for number in range(10):
            await one.put(account=f"{number}@contoso.com")
        first, second = await one.leases(most=64), await other.leases(most=64)
        assert len(first) == 6
        assert len(second) == 3
        assert not {lease.lane for lease in first} & {lease.lane for lease in second}


async def test_a_lane_whose_lease_was_answered_to_nobody_is_leased_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lost = await spool.lease()
        assert not await spool.leases()
        spool.running.clear()
        again = await spool.lease()
        assert (again.lane, again.fence) == (lost.lane, lost.fence + 1)


async def test_who_leaves_frees_its_lanes_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as other:
        async with house(tmp_path, owner="leaves", clock=other.clock) as leaves:
            await leaves.put()
            lease = await leaves.lease()
        assert await other.spool.next_due() is not None
        assert [new.lane for new in await other.leases()] == [lease.lane]


async def test_who_takes_a_lane_over_knows_until_when_the_others_requests_may_live(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        await one.start()
        await one.die()
        taken = await other.lease()
        assert (await other.past(taken)).alive == (NOON + 70 * SECOND,)


async def test_what_a_living_worker_sends_is_not_in_doubt_for_another(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        row, _ = await one.start()
        assert await other.spool.recover(now=NOON + HOUR, grace=10.0) == 0
        assert await other.status(row.id) is Status.SENDING
        await one.die()
        assert await other.spool.recover(now=NOON + HOUR, grace=10.0) == 1
        assert await other.status(row.id) is Status.UNCONFIRMED


async def test_only_who_holds_a_lane_looks_for_what_it_left_in_doubt(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        row = await one.doubt()
        one.clock.at += HOUR
        (item,) = await one.looks()
        assert item.message.id == row.id
        assert await other.spool.unsettled(now=one.clock.at, most=9, lanes=one.running) == []
        assert await other.spool.next_look(lanes=one.running) is None


async def test_a_clock_that_differs_from_that_of_a_living_worker_was_not_set_back(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        await other.put()
        assert await one.spool.turn_back(now=NOON - HOUR) == 0
        await inside(other)._heart.stop()
        assert await one.spool.turn_back(now=NOON - HOUR) == HOUR


# --- who is woken


async def test_what_comes_into_a_lane_while_it_is_given_back_is_not_stranded(tmp_path: Path) -> None:
    """The lost wake-up: the acceptor saw the lane awake, and its rows are not seen yet by who gives the lane back."""
    async with two(tmp_path) as (one, other):
        row, lease = await other.start()
        await other.finish(row, SENT, Status.SENT)
        async with inside(one)._database.session() as session:
            async with session.transaction():
                await insert(one, session, one.new())
                release = asyncio.create_task(other.release(lease))
                async with asyncio.timeout(20):
                    while not release.done() and not await one.ask(
                        "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
                    ):
                        await asyncio.sleep(0.01)
            await release
        assert await other.ask(AWAKE)
        assert [one.lane for one in await other.leases()] == [lease.lane]


async def test_two_who_accept_for_one_sleeping_lane_do_not_wait_for_each_others_wake_up(tmp_path: Path) -> None:
    """Else both would hold the lane shared and want to write it: a deadlock (SPOOL §6.2)."""
    async with two(tmp_path) as (one, other):
        await one.go(SENT, Status.SENT)
        assert not await one.ask(AWAKE)
        async with inside(one)._database.session() as session, session.transaction():
            await insert(one, session, one.new())
            new = other.new()
            adding = asyncio.create_task(other.add(new))
            async with asyncio.timeout(10):
                while await other.spool.key_of(new.id) is None:
                    await asyncio.sleep(0.01)
        assert await adding == Added()
        assert await other.ask(AWAKE)


async def test_workers_are_told_once_a_group_and_only_of_lanes_that_slept(tmp_path: Path) -> None:
    words: list[str] = []
    listener = await asyncpg.connect(DATABASES[tmp_path])
    try:
        await listener.add_listener(CHANNEL, lambda *word: words.append(word[3]))
        async with house(tmp_path) as spool:
            await until(lambda: inside(spool).hears)
            words.clear()
            await asyncio.gather(*(spool.put(account=f"{number}@contoso.com") for number in range(40)))
            await said(spool, words, "first")
            told = [word for word in words if word != "first"]
            assert len({lane for word in told for lane in word.split(",")}) == 40
            assert len(told) < 20
            words.clear()
            await asyncio.gather(*(spool.put(account=f"{number}@contoso.com") for number in range(40)))
            await said(spool, words, "second")
            assert words == ["second"]
    finally:
        await listener.close()


async def said(spool: House, words: list[str], word: str) -> None:
    """Wait until all that was said before is heard."""
    await spool.plant(f"select pg_notify('{CHANNEL}', '{word}')")
    await until(lambda: word in words)


async def test_a_worker_hears_of_mail_that_another_process_accepted(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        await until(lambda: inside(other).hears)
        other.woken.clear()
        await one.put()
        await until(lambda: other.woken)
        assert [lease.account for lease in await other.leases()] == [SHOP]


async def test_a_process_that_hears_nothing_of_what_others_tell_knows_it_and_looks_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "PROOF_SECONDS", 0.3)
    async with line(tmp_path) as cut:
        cut.deaf = True
        async with house(tmp_path) as spool:
            await until(lambda: inside(spool)._listener._nonce)
            believes = asyncio.create_task(until(lambda: inside(spool).hears))
            await asyncio.wait({believes}, timeout=2)
            assert not believes.done()
            believes.cancel()


# --- the feed


async def test_what_commits_later_never_appears_behind_a_readers_back(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        slow, quick = one.new(), other.new(account="quick@contoso.com")
        seen = (await one.spool.feed(after="latest", types=(), client=None, most=9)).next
        found = []
        async with inside(one)._database.session() as session, session.transaction():
            await insert(one, session, slow)
            assert await other.add(quick) == Added()
            page = await other.spool.feed(after=seen, types=(), client=None, most=9)
            found += page.events
        page = await other.spool.feed(after=page.next, types=(), client=None, most=9)
        found += page.events
        assert [one.event.message_id for one in found] == [slow.id, quick.id]


async def test_a_database_restored_in_another_cluster_goes_on_behind_its_readers(tmp_path: Path) -> None:
    """There the numbers of transactions begin anew."""
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.plant("update events set feed = feed + 1000000000")
        await spool.plant("update messages set feed = feed + 1000000000")
        ((seen,),) = await spool.ask("select feed || '.' || id from events")
    async with house(tmp_path) as spool:
        new = await spool.put()
        found = await spool.spool.feed(after=seen, types=(), client=None, most=9)
        assert [one.event.message_id for one in found.events] == [new]


# --- the schema, and what the dead left


async def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    connection = await asyncpg.connect(DATABASES[tmp_path])
    await connection.execute("drop schema public cascade; create schema public")
    await connection.close()

    async def start(name: str) -> None:
        async with house(tmp_path, owner=name):
            pass

    await asyncio.gather(*(start(str(number)) for number in range(6)))


@pytest.mark.parametrize(("oldest", "opens"), [(2, True), (99, False)])
async def test_a_newer_schema_is_refused_only_where_this_version_could_harm_its_mail(
    tmp_path: Path, *, oldest: int, opens: bool
) -> None:
    async with house(tmp_path) as spool:
        await spool.plant(f"insert into schema_version (version, oldest) values (99, {oldest})")  # noqa: S608 - our number
    try:
        if opens:
            async with house(tmp_path) as spool:
                await spool.put()
        else:
            with pytest.raises(SpoolRefusedError, match="start the newer version again"):
                async with house(tmp_path):
                    pass
    finally:
        connection = await asyncpg.connect(DATABASES[tmp_path])
        await connection.execute("delete from schema_version where version = 99")
        await connection.close()


async def test_chunks_of_an_upload_that_died_with_its_process_go_after_an_hour(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.plant(f"insert into chunks (content, n, at, body) values (4711, 0, {NOON}, 'x')")  # noqa: S608 - ours
        await spool.put(body=Bytes(b"x" * 600_000))
        for at, left in ((NOON + HOUR // 2, 4), (NOON + HOUR + SECOND, 3)):
            await spool.spool.purge(now=at, retention=86_400.0, content_retention=86_400.0, most=9)
            assert await spool.ask("select count(*) from chunks") == [(left,)]
