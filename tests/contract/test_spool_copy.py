"""A SQLite spool moves into PostgreSQL: everything goes over, nothing goes twice, the file serves no more (SPOOL §8)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.cli.moving import move
from posthouse.identities import KeyRow
from posthouse.message import Bytes, Content, Status
from posthouse.records import AuditEntry, Filters, KeyReused, Pause, Replayed, SenderBlock, Way
from posthouse.spool.postgres.care import check, mark_restored
from posthouse.spool.postgres.database import Address
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite.unlocking import beside
from tests.contract.spools import DATABASES, DAY, HOUR, LATER, MASTER, NOON, SECOND, SENT, House, house

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engine("postgres")]
LARGE = b"0123456789abcdef" * 40_000


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of the SQLite spool."""
    folder = tmp_path / "old"
    folder.mkdir()
    return folder


def secrets_of(old: Path) -> Secrets:
    """The new master, and the old one still at hand."""
    return replace(MASTER, previous=(beside(old / "spool.sqlite").read_text().strip(),))


async def moved(old: Path, new: Path) -> Mapping[str, int] | None:
    address = Address(dsn=DATABASES[new])
    return await move(old / "spool.sqlite", address, secrets_of(old))


async def everything(spool: House) -> dict[str, object]:
    """What clients and operators see of a spool."""
    page = await spool.spool.find(Filters(limit=100), now=spool.clock.now())
    return {
        "records": page.records,
        "events": {
            one.id: [(event.at, event.type, event.data) for event in await spool.spool.events(one.id)]
            for one in page.records
        },
        "attempts": {one.id: await spool.spool.attempts(one.id) for one in page.records},
        "lanes": [replace(row, lane=0, next_at=None) for row in await spool.spool.lanes(now=spool.clock.now())],
        "identities": await spool.spool.identities(),
        "transports": await spool.spool.transports(),
        "hours": await spool.spool.recipient_hours(since=NOON - DAY),
    }


async def test_all_that_a_spool_holds_is_in_the_other_one(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        await spool.put(tags={"kind": "order"}, metadata={"n": 1}, reference="r-1")
        await spool.put(due_at=NOON + DAY, client="erp", account="erp@contoso.com")
        await spool.put(
            content=Content(b"Subject: large\r\n", Bytes(LARGE)), account="large@contoso.com", due_at=NOON + 9
        )
        await spool.put(held_cause="client_paused")
        await spool.go(SENT, Status.SENT, account="b@contoso.com")
        await spool.go(LATER, Status.QUEUED, account="c@contoso.com", finish={"due_at": NOON + HOUR})
        await spool.doubt(account="d@contoso.com")
        await spool.spool.block_sender(
            SenderBlock(mailbox="x@contoso.com", sender="y@contoso.com", since=NOON, probe_at=NOON + HOUR, reason="r")
        )
        lease = await spool.lease()
        await spool.spool.pause(lane=lease.lane, pause=Pause(None, NOON + HOUR, "throttled", blocked=False, since=NOON))
        await spool.release(lease)
        await spool.spool.tell_transport(name="smtp", paused=True, at=NOON, by="ann")
        await spool.spool.save_key(
            KeyRow(
                id="k1",
                client="shop",
                key_hash=b"h",
                senders=("*",),
                recipient_domains=(),
                scopes=("submit",),
                created_at=1,
                expires_at=None,
                revoked_at=None,
                last_used_at=NOON,
            ),
            AuditEntry(at=NOON, by="ann", action="key.create", target="k1"),
        )
        before = await everything(spool)
    counts = await moved(old, tmp_path)
    assert counts is not None
    assert (counts["messages"], counts["keys"]) == (7, 1)
    async with house(tmp_path, secrets=secrets_of(old)) as spool:
        assert await everything(spool) == before
        (large,) = [one.id for one in (await everything(spool))["records"] if one.size > len(LARGE)]  # ty: ignore[not-iterable] - records
        key = await spool.spool.key_of(large)
        assert key is not None
        content = await spool.spool.content(key)
        assert content is not None
        assert b"".join([part async for part in content.body.blocks()]) == LARGE
    report = await check(Address(dsn=DATABASES[tmp_path]), secrets_of(old))
    assert report.ok, report
    assert report.previous_needed


async def test_what_waited_goes_on_and_new_mail_comes_behind_it(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        first = await spool.put()
        assert await spool.add(spool.new(account="k@contoso.com"), key="order-1")
    await moved(old, tmp_path)
    async with house(tmp_path, secrets=secrets_of(old)) as spool:
        assert await spool.add(spool.new(account="k@contoso.com"), key="order-1") == Replayed(b"answer")
        assert isinstance(await spool.add(spool.new(), key="order-1", request=b"other"), KeyReused)
        second = await spool.put()
        lease = await spool.lease("shop@contoso.com")
        assert [row.id for row in await spool.due(lease.lane)] == [first, second]
        lanes = {row.account for row in await spool.spool.lanes(now=NOON)}
        assert lanes == {"shop@contoso.com", "k@contoso.com"}


async def test_a_reader_of_the_feed_goes_on_behind_its_cursor(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        await spool.put()
        page = await spool.spool.feed(after=None, types=(), client=None, most=9)
        second = await spool.put()
    await moved(old, tmp_path)
    async with house(tmp_path, secrets=secrets_of(old)) as spool:
        third = await spool.put()
        page = await spool.spool.feed(after=page.next, types=(), client=None, most=9)
        assert [event.event.message_id for event in page.events] == [second, third]
        assert not page.gap


async def test_what_a_dead_process_left_under_way_is_in_doubt_and_never_sent_blindly(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        row, _ = await spool.start()
    await moved(old, tmp_path)
    async with house(tmp_path, secrets=secrets_of(old)) as spool:
        assert await spool.spool.recover(now=NOON + HOUR, grace=10.0) == 1
        assert await spool.status(row.id) is Status.UNCONFIRMED


async def test_the_file_serves_no_more_and_a_second_move_does_nothing(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        await spool.put()
    await moved(old, tmp_path)
    with pytest.raises(SpoolRefusedError, match="was moved to PostgreSQL"):
        async with house(old):
            pass
    assert await moved(old, tmp_path) is None
    async with house(tmp_path, secrets=secrets_of(old)) as spool:
        assert sum((await spool.spool.counts()).values()) == 1


async def test_who_goes_back_to_the_file_looks_first_for_what_the_other_sent(tmp_path: Path, old: Path) -> None:
    ways = {"graph": Way(kind="graph", account=None), "smtp": Way(kind="smtp", account=None)}
    async with house(old) as spool:
        message = await spool.put()
    await moved(old, tmp_path)
    async with house(old, moved=True) as spool:
        await spool.spool.mark_restored(taken_at=NOON)
    async with house(old) as spool:
        spool.clock.at += HOUR
        assert await spool.spool.restored(now=spool.clock.now(), ways=ways) == 1
        assert await spool.status(message) is not Status.QUEUED


async def test_a_database_in_use_is_refused_and_the_file_goes_on(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        await spool.put()
    async with house(tmp_path) as spool:
        await spool.put()
    with pytest.raises(SpoolRefusedError, match="only into an empty one"):
        await moved(old, tmp_path)
    async with house(old) as spool:
        assert len(await spool.due((await spool.lease()).lane)) == 1


async def test_a_master_that_the_settings_do_not_name_is_asked_for(tmp_path: Path, old: Path) -> None:
    async with house(old) as spool:
        await spool.put()
    with pytest.raises(SpoolRefusedError, match="give it as"):
        await move(old / "spool.sqlite", Address(dsn=DATABASES[tmp_path]), MASTER)
    async with house(old) as spool:
        assert len(await spool.due((await spool.lease()).lane)) == 1


async def test_a_fault_in_the_middle_leaves_the_file_as_it_was_and_the_database_empty(
    tmp_path: Path, old: Path
) -> None:
    async with house(old) as spool:
        await spool.put()
        await spool.plant("update details set route = 'no json'")
    with pytest.raises(Exception, match="json"):
        await moved(old, tmp_path)
    async with house(old) as spool:
        await spool.plant("update details set route = '[\"graph\"]'")
    assert await moved(old, tmp_path)


async def test_a_spool_whose_workers_live_is_no_copy(tmp_path: Path) -> None:
    address = Address(dsn=DATABASES[tmp_path])
    async with house(tmp_path) as spool:
        await spool.put()
        with pytest.raises(SpoolRefusedError, match="stop them first"):
            await mark_restored(address, taken_at=None)
    assert await mark_restored(address, taken_at=NOON + SECOND) == NOON + SECOND


async def test_a_look_at_the_database_finds_what_a_foreign_hand_took_away(tmp_path: Path) -> None:
    address = Address(dsn=DATABASES[tmp_path])
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.put(content=Content(b"Subject: large\r\n", Bytes(LARGE)))
        assert (await check(address, MASTER)).ok
        await spool.plant("update chunks set body = substring(body from 2) where n = 1")
        await spool.plant("delete from recipients")
    report = await check(address, MASTER)
    assert {finding.rule for finding in report.findings} == {"a content cannot be opened", "a message has no recipient"}
