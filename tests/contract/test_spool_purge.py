"""What is over goes, what is not stays: contents, answers, messages (CONTRACT §4, SPOOL §7)."""

import asyncio
from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.outcome import Answer, PermanentFailure, Scope
from posthouse.records import Action, Added, Obeyed, Replayed
from posthouse.spool.sqlite.contents import drop_chunks
from tests.contract.spools import DAY, HOUR, NOON, SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")

REFUSED = PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status="5.6.0", text="refused"))
TABLES = ("messages", "details", "recipients", "tags", "contents", "chunks", "attempts", "events", "unsettled")


async def purge(spool: House, at: int, *, most: int = 10_000) -> int:
    return await spool.spool.purge(now=at, retention=30 * 86_400.0, content_retention=86_400.0, most=most)


async def has_content(spool: House, key: int) -> bool:
    return await spool.spool.content(key) is not None


async def test_content_of_a_sent_message_goes_after_a_day_of_a_failed_one_after_retention(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        sent = await spool.go(SENT, Status.SENT)
        failed = await spool.go(REFUSED, Status.FAILED)
        assert await purge(spool, NOON + DAY - 1) == 0
        assert await purge(spool, NOON + DAY) == 1
        assert [await has_content(spool, row.key) for row in (sent, failed)] == [False, True]
        assert await spool.status(sent.id) is Status.SENT
        await purge(spool, NOON + 30 * DAY)
        assert not await has_content(spool, failed.key)


async def test_content_of_a_client_that_wants_none_kept_goes_when_it_was_sent_and_not_before(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        sent = await spool.go(SENT, Status.SENT)
        failed = await spool.go(REFUSED, Status.FAILED)
        doubtful = await spool.doubt()
        kept = {"retention": 30 * 86_400.0, "content_retention": 86_400.0, "most": 99}
        assert await spool.spool.purge(now=NOON + HOUR, **kept, at_once=["other"]) == 0
        assert await spool.spool.purge(now=NOON + HOUR, **kept, at_once=["other", sent.client]) == 1
        assert [await has_content(spool, row.key) for row in (sent, failed, doubtful)] == [False, True, True]


async def test_no_message_outlives_its_retention_for_its_contents_sake(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        await spool.spool.purge(now=NOON + DAY, retention=86_400.0, content_retention=9 * 86_400.0, most=99)
        assert await spool.spool.get(row.id, now=NOON) is None


async def test_content_of_a_message_that_is_not_final_is_never_purged(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        doubtful = await spool.doubt()
        queued = await spool.put(due_at=NOON + 99 * DAY)
        held = await spool.put(held_cause="client_paused")
        assert await purge(spool, NOON + 90 * DAY) == 0
        for message_id in (doubtful.id, queued, held):
            key = await spool.spool.key_of(message_id)
            assert key is not None
            assert await has_content(spool, key)


async def test_a_message_retried_while_it_is_purged_keeps_its_content_or_is_not_retried(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        failed = [await spool.go(REFUSED, Status.FAILED, body=b"x" * 300_000) for _ in range(9)]
        spool.clock.at = NOON + 30 * DAY
        answers = await asyncio.gather(
            spool.spool.purge(now=spool.clock.at, retention=86_400.0, content_retention=86_400.0, most=9),
            *(spool.obey(Action.RETRY, row.id) for row in failed),
        )
        for row, answer in zip(failed, answers[1:], strict=True):
            assert isinstance(answer, Obeyed) == await has_content(spool, row.key)


@pytest.mark.engine("sqlite")
async def test_chunks_that_a_message_refers_to_cannot_be_dropped(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await spool.put(body=b"x" * 300_000)
        key = await spool.spool.key_of(message_id)
        assert key is not None
        await drop_chunks(spool.sqlite._writer, key)
        content = await spool.spool.content(key)
        assert content is not None
        assert sum([len(block) async for block in content.body.blocks()]) == 300_000


async def test_a_finished_message_leaves_nothing_behind(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        large = b"x" * 1_000_000
        row = await spool.go(SENT, Status.SENT, tags={"run": "7"}, body=large)
        other = await spool.doubt(tags={"run": "8"})
        await purge(spool, NOON + 30 * DAY)
        assert await spool.spool.get(row.id, now=NOON) is None
        assert await spool.spool.get(other.id, now=NOON) is not None
        assert await rows(spool) == {
            "messages": 1, "details": 1, "recipients": 1, "tags": 1, "contents": 1, "chunks": 0, "attempts": 1,
            "events": 3, "unsettled": 1,
        }  # fmt: skip


async def test_a_purge_stops_at_its_limit_and_goes_on_next_time(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        for _ in range(5):
            await spool.go(SENT, Status.SENT)
        assert await purge(spool, NOON + 2 * DAY, most=3) == 3
        assert await purge(spool, NOON + 2 * DAY, most=3) == 2
        assert await purge(spool, NOON + 2 * DAY, most=3) == 0


async def test_an_answer_is_kept_until_a_day_after_its_last_message_is_final(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        first, last = spool.new(), spool.new(account="slow@contoso.com", due_at=NOON + 3 * DAY)
        await spool.add(first, last, key="batch")
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        await spool.finish(row, SENT, Status.SENT)
        await purge(spool, NOON + 2 * DAY)
        assert await spool.add(spool.new(), key="batch") == Replayed(b"answer")
        spool.clock.at = NOON + 3 * DAY
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        await spool.finish(row, SENT, Status.SENT)
        await purge(spool, NOON + 4 * DAY - 1)
        assert await spool.add(spool.new(), key="batch") == Replayed(b"answer")
        await purge(spool, NOON + 4 * DAY + HOUR)
        assert await spool.add(spool.new(), key="batch") == Added()


async def test_a_key_of_a_purged_message_is_never_given_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        await purge(spool, NOON + 31 * DAY)
    async with house(tmp_path) as again:
        new = await again.put()
        key = await again.spool.key_of(new)
        assert key is not None
        assert key > row.key


async def rows(spool: House) -> dict[str, object]:
    counted = {}
    for table in TABLES:
        text = f"select count(*) from {table}"  # noqa: S608 - our own names
        counted[table] = (await spool.ask(text))[0][0]
    return counted


@pytest.mark.engine("sqlite")
async def test_what_was_purged_makes_room_on_the_disk_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        rows = [await spool.start(account=f"{n}@contoso.com", body=b"x" * 200_000) for n in range(20)]
        for row, _ in rows:
            await spool.finish(row, SENT, Status.SENT)
        ((before,),) = await spool.ask("pragma page_count")
        for _ in range(20):
            await spool.put(due_at=NOON + 99 * DAY)
            await purge(spool, NOON + DAY, most=1)
        ((after,),) = await spool.ask("pragma page_count")
        assert after < before / 2
