"""Accepting: durable when answered, all or nothing, once per idempotency key."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.message import Priority, Status
from posthouse.records import Added, Filters, KeyReused, Replayed
from tests.contract.spools import HOUR, NOON, House, house

pytestmark = pytest.mark.usefixtures("engine")


async def test_what_was_added_is_there_after_a_reopen(tmp_path: Path) -> None:
    async with house(tmp_path) as first:
        new = first.new(to=("bob@fabrikam.com", "Eve@Fabrikam.com"), tags={"run": "7"}, metadata={"a": [1, None]})
        assert await first.add(new) == Added()
    async with house(tmp_path) as again:
        record = await again.record(new.id)
        assert (record.status, record.client, record.account, record.subject) == (
            Status.QUEUED,
            "shop",
            new.account,
            new.subject,
        )
        assert [r.address for r in record.recipients] == ["bob@fabrikam.com", "Eve@Fabrikam.com"]
        assert (record.tags, record.metadata, record.route) == ({"run": "7"}, {"a": [1, None]}, ("graph", "smtp"))
        assert await again.history(new.id) == ["accepted"]


async def test_the_dispatcher_reads_what_the_door_wrote(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        new = spool.new(sender="null@contoso.com", expires_at=NOON + HOUR, message_id="<ä@contoso.com>")
        await spool.add(new)
        (row,) = await spool.due((await spool.lease()).lane)
        assert (row.id, row.envelope, row.message_id, row.own_message_id) == (
            new.id,
            new.envelope,
            new.message_id,
            True,
        )
        assert (row.expires_at, row.gives_up_at, row.attempts, row.route) == (
            new.expires_at,
            new.gives_up_at,
            0,
            new.route,
        )
        content = await spool.spool.content(row.key)
        assert content is not None
        assert (content.header, [block async for block in content.body.blocks()]) == (
            new.content.header,
            [b"hello\r\n"],
        )
        assert row.size == new.content.size


async def test_the_span_of_its_submission_is_kept_with_a_message_where_there_is_one(tmp_path: Path) -> None:
    async with house(tmp_path) as first:
        followed, quiet = first.new(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), first.new()
        await first.add(followed, quiet)
    async with house(tmp_path) as again:
        told = [(await again.spool.events(new.id))[0].data for new in (followed, quiet)]
    assert told == [{"door": "rest", "traceparent": followed.traceparent}, {"door": "rest"}]


async def test_the_same_key_and_request_get_the_first_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        assert await spool.add(spool.new(), key="order-1") == Added()
        assert await spool.add(spool.new(), key="order-1") == Replayed(b"answer")
        assert await spool.add(spool.new(), key="order-1", request=b"other") == KeyReused()
        assert await spool.spool.counts() == {Status.QUEUED: 1}


async def test_twins_that_wait_for_the_same_commit_are_kept_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        results = await asyncio.gather(
            *(spool.add(spool.new(), key="order-1") for _ in range(9)),
            spool.add(spool.new(), key="order-1", request=b"other"),
            spool.add(spool.new(), key="order-2"),
        )
        assert results.count(Added()) == 2
        assert results.count(Replayed(b"answer")) == 8
        assert results.count(KeyReused()) == 1
        assert await spool.spool.counts() == {Status.QUEUED: 2}


PLANT = {
    "sqlite": ("create trigger planted before insert on idempotency begin select raise(abort, 'planted'); end",),
    "postgres": (
        "create function planted() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$",
        "create trigger planted before insert on idempotency for each row execute function planted()",
    ),
}
UPROOT = {
    "sqlite": ("drop trigger planted",),
    "postgres": ("drop trigger planted on idempotency", "drop function planted"),
}


async def test_with_a_key_that_cannot_be_kept_no_message_is_kept(tmp_path: Path, engine: str) -> None:
    async with house(tmp_path) as spool:
        for command in PLANT[engine]:
            await spool.plant(command)
        try:
            with pytest.raises(Exception, match="planted"):
                await spool.add(spool.new(), key="order-1")
        finally:
            for command in UPROOT[engine]:
                await spool.plant(command)
        assert await spool.spool.counts() == {}
        assert await spool.add(spool.new(), key="order-1") == Added()


async def test_a_batch_is_kept_together_or_not_at_all(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        good, twin = spool.new(), spool.new()
        with pytest.raises(Exception, match=r"(?i)unique"):
            await spool.add(good, twin, twin, key="batch-1")
        assert await spool.spool.counts() == {}
        assert await spool.add(good, twin, key="batch-1") == Added()


async def test_one_spoiled_submission_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        known = spool.new()
        await spool.add(known)
        results = await asyncio.gather(
            *(spool.add(spool.new()) for _ in range(20)),
            spool.add(known),
            *(spool.add(spool.new()) for _ in range(20)),
            return_exceptions=True,
        )
        assert results.count(Added()) == 40
        assert isinstance(results[20], Exception)
        assert await spool.spool.counts() == {Status.QUEUED: 41}


async def test_a_caller_that_went_away_does_not_stop_the_write(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        new = spool.new()
        adding = asyncio.ensure_future(spool.add(new))
        await asyncio.sleep(0)
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        await spool.add(spool.new())
        assert await spool.status(new.id) is Status.QUEUED


async def test_a_paused_clients_message_is_kept_but_held(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await spool.put(held_cause="client_paused")
        record = await spool.record(message_id)
        assert (record.status, record.held_cause) == (Status.HELD, "client_paused")
        assert await spool.history(message_id) == ["accepted", "held"]
        assert await spool.spool.next_due() is None


async def test_a_new_message_wakes_its_lane_after_the_commit(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        assert spool.woken == {lease.lane}


class Stream:
    """A body that arrives in odd pieces, as from a socket."""

    def __init__(self, data: bytes, *, broken: bool = False) -> None:
        self.data = data
        self.size = len(data)
        self.broken = broken

    async def blocks(self) -> AsyncIterator[bytes]:
        for at in range(0, self.size, 100_001):
            yield self.data[at : at + 100_001]
        if self.broken:
            raise ConnectionResetError

    async def span(self, start: int, end: int) -> AsyncIterator[bytes]:
        yield self.data[start:end]


@pytest.mark.parametrize("size", [0, 1, 262_128, 262_129, 3_000_000])
async def test_a_content_of_any_size_comes_back_byte_for_byte(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    async with house(tmp_path) as spool:
        await spool.put(body=Stream(data[:size]))
        (row,) = await spool.due((await spool.lease()).lane)
        content = await spool.spool.content(row.key)
        assert content is not None
        assert content.body.size == size
        assert b"".join([block async for block in content.body.blocks()]) == data[:size]
        assert row.size == content.size


async def test_a_large_content_is_read_in_small_blocks(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(body=Stream(b"x" * 2_000_000))
        content = await spool.spool.content(await first_key(spool))
        assert content is not None
        assert max([len(block) async for block in content.body.blocks()]) <= 256 * 1024


async def test_an_upload_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        with pytest.raises(ConnectionResetError):
            await spool.put(body=Stream(b"x" * 2_000_000, broken=True))
        await spool.add(spool.new(body=Stream(b"x" * 2_000_000)), key="order-1")
        assert isinstance(await spool.add(spool.new(body=Stream(b"x" * 2_000_000)), key="order-1"), Replayed)
        assert await chunks_of(spool) == 8


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 3_000_000])
async def test_a_body_that_was_stored_before_its_message_belongs_to_it_from_its_commit_on(
    tmp_path: Path, size: int
) -> None:
    data = random.Random(size).randbytes(size)
    async with house(tmp_path) as spool:
        async with spool.spool.store(Stream(data).blocks(), small=True) as body:
            message_id = await spool.put(body=body)
        key = await spool.spool.key_of(message_id)
        content = await spool.spool.content(key or 0)
        assert content is not None
        assert content.body.size == size
        assert b"".join([block async for block in content.body.blocks()]) == data
        for start, end in ((0, size), (size // 3, size // 2), (max(size - 1, 0), size), (size, size)):
            assert b"".join([block async for block in content.body.span(start, end)]) == data[start:end]
        await spool.put()
        assert await chunks_of(spool) == (-(-size // 262_144) if size >= 262_144 else 0)


@pytest.mark.parametrize("small", [True, False])
async def test_a_stored_body_that_nobody_took_is_gone_after_its_context(tmp_path: Path, *, small: bool) -> None:
    async with house(tmp_path) as spool:
        for size in (10, 600_000):
            async with spool.spool.store(Stream(b"x" * size).blocks(), small=small) as body:
                assert body.size == size
                assert await chunks_of(spool) == (0 if small and size == 10 else -(-size // 262_144))
            assert await chunks_of(spool) == 0
        with pytest.raises(ConnectionResetError):
            async with spool.spool.store(Stream(b"x" * 600_000, broken=True).blocks(), small=small):
                pass
        assert await chunks_of(spool) == 0


async def test_a_stored_body_goes_where_its_message_is_a_replay(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        for expected in (Added, Replayed):
            async with spool.spool.store(Stream(b"x" * 600_000).blocks(), small=True) as body:
                assert isinstance(await spool.add(spool.new(body=body), key="order-1"), expected)
        assert await chunks_of(spool) == 3


async def test_a_stored_body_belongs_to_one_message_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        async with spool.spool.store(Stream(b"x" * 600_000).blocks(), small=True) as body:
            with pytest.raises(ValueError, match="one message alone"):
                await spool.add(spool.new(body=body), spool.new())
        assert await spool.spool.counts() == {}


async def test_messages_go_on_being_accepted_while_a_body_is_stored(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        async with spool.spool.store(Stream(b"x" * 600_000).blocks(), small=True) as body:
            others = [await spool.put() for _ in range(3)]
            message_id = await spool.put(body=body)
        assert len({message_id, *others}) == 4
        assert await spool.spool.counts() == {Status.QUEUED: 4}


@pytest.mark.engine("sqlite")
async def test_chunks_of_an_upload_that_died_with_its_process_go_at_the_next_start(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.sqlite._writer.write(lambda db: db.run("add_chunk", {"content": 77, "n": 0, "body": b"x"}))
        assert await chunks_of(spool) == 1
    async with house(tmp_path) as spool:
        assert await chunks_of(spool) == 0


@pytest.mark.engine("sqlite")
async def test_small_and_large_submissions_share_the_writer(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        large = spool.new(body=Stream(b"y" * 1_000_000))
        small = [spool.new(priority=Priority.HIGH) for _ in range(50)]
        results = await asyncio.gather(spool.add(large), *(spool.add(one) for one in small))
        assert set(results) == {Added()}
        page = await spool.spool.find(Filters(limit=100), now=NOON)
        assert len(page.records) == 51


async def first_key(spool: House) -> int:
    return (await spool.ask("select min(id) from messages"))[0][0]


async def chunks_of(spool: House) -> int:
    rows = await spool.ask("select count(*) from chunks")
    count = rows[0][0]
    assert isinstance(count, int)
    return count
